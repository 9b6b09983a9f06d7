#!/usr/bin/env python3
"""Exports a saved NVTabular workflow as data that Gondola reads.

    python export_workflow.py WORKFLOW EXPORTED

WORKFLOW is the folder that `workflow.save` wrote. It runs where NVTabular runs, since only NVTabular reads its own pickle. EXPORTED
gets `nvtabular.json`, which says for each output by which operators it is made of raw columns, and Parquet files of categories and
statistics. `gondola import-workflow EXPORTED` does the rest; docs/merlin.md describes the file. Tested with nvtabular 23.8.0.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import nvtabular
import pandas as pd
from merlin.schema import Tags

FORMAT = 1

# Operators that hand on the values of their columns.
HAND_ON = {
    "AddMetadata", "AddProperties", "AddTags", "ConcatColumns", "DataStats", "DropLowCardinality", "ReduceDtypeSize", "Rename",
    "SelectionOp", "SubsetColumns", "SubtractionOp", "TagAsItemFeatures", "TagAsItemID", "TagAsUserFeatures", "TagAsUserID",
    "ValueCount",
}  # fmt: skip

# Operators that can't be served, and why.
UNSUPPORTED = {
    "DifferenceLag": "reads_other_rows",
    "Dropna": "drops_rows",
    "Filter": "drops_rows",
    "Groupby": "reads_other_rows",
    "HashBucket": "hashes_rows",
    "HashedCross": "hashes_rows",
    "LambdaOp": "runs_code",
    "UDF": "runs_code",
}


class Exporter:
    """Writes one workflow into one folder."""

    def __init__(self, workflow, folder):
        self.workflow = workflow
        self.folder = folder
        self.written = {}

    def document(self):
        node = self.workflow.output_node
        columns = [{"name": name, "value": self.expression(node, name)} for name in node.output_columns.names]
        return {
            "format": FORMAT,
            "nvtabular": nvtabular.__version__,
            "inputs": self.inputs(columns),
            "columns": columns,
        }

    def inputs(self, columns):
        """The raw columns, and whose they are by the tags of themselves and of what is made of them."""
        tags = {schema.name: set(schema.tags) for schema in self.workflow.input_schema}
        for column in columns:
            of_output = self.workflow.output_schema[column["name"]].tags
            for raw in raw_columns(column["value"]):
                tags.setdefault(raw, set()).update(of_output)
        inputs = []
        for schema in self.workflow.input_schema:
            described = {"name": schema.name, "kind": kind(schema)}
            entity = owner(tags[schema.name])
            inputs.append(described if entity is None else {**described, "entity": entity})
        return inputs

    def expression(self, node, column):
        """How `node` makes `column`."""
        operator = type(node.op).__name__
        if operator in UNSUPPORTED:
            # What users call LambdaOp is a UDF inside.
            named = "LambdaOp" if operator == "UDF" else operator
            return unsupported(named, UNSUPPORTED[operator], self.parts(node, column))
        if operator in HAND_ON:
            return self.part(node, self.mapped(node, column)[0])
        make = getattr(self, operator, None)
        if make is None:
            return unsupported(operator, "no_counterpart", self.parts(node, column))
        return make(node, column)

    def mapped(self, node, column):
        """The columns that an operator makes a column of."""
        return node.op.column_mapping(node.selector).get(column, [column])

    def part(self, node, column):
        """A column that a node reads: another node's, or a raw one."""
        for parent in node.parents_with_dependencies:
            if column in parent.output_columns.names:
                return self.expression(parent, column)
        return {"op": "Column", "name": column}

    def parts(self, node, column):
        return [self.part(node, name) for name in self.mapped(node, column)]

    # One method an operator, by its name.

    def FillMissing(self, node, column):
        of = self.part(node, self.mapped(node, column)[0])
        if is_indicator(node, column):
            return {"op": "Filled", "of": of}
        fill = node.op.fill_val
        if isinstance(fill, str):
            return unsupported("FillMissing", "fills_text", [of])
        return {"op": "FillMissing", "of": of, "value": number(fill)}

    def FillMedian(self, node, column):
        of = self.part(node, self.mapped(node, column)[0])
        if is_indicator(node, column):
            return {"op": "Filled", "of": of}
        return {"op": "FillMedian", "of": of, "value": number(node.op.medians[column])}

    def Clip(self, node, column):
        bounds = {"min": number(node.op.min_value), "max": number(node.op.max_value)}
        return {"op": "Clip", "of": self.part(node, column), **bounds}

    def LogOp(self, node, column):
        return {"op": "LogOp", "of": self.part(node, column)}

    def Normalize(self, node, column):
        moments = {"mean": number(node.op.means[column]), "std": number(node.op.stds[column])}
        return {"op": "Normalize", "of": self.part(node, column), **moments}

    def NormalizeMinMax(self, node, column):
        bounds = {"min": number(node.op.mins[column]), "max": number(node.op.maxs[column])}
        return {"op": "NormalizeMinMax", "of": self.part(node, column), **bounds}

    def Bucketize(self, node, column):
        boundaries = [number(boundary) for boundary in node.op.boundaries(column)]
        if boundaries != sorted(boundaries):
            return unsupported("Bucketize with boundaries that do not ascend", "no_counterpart", [self.part(node, column)])
        return {"op": "Bucketize", "of": self.part(node, column), "boundaries": boundaries}

    def ListSlice(self, node, column):
        op = node.op
        endless = np.iinfo(np.int64).max
        return {
            "op": "ListSlice",
            "of": self.part(node, column),
            "start": int(op.start),
            "end": None if op.end == endless else int(op.end),
            "length": int(op.max_elements) if 0 <= op.max_elements < 2**31 else None,
            "pad": number(op.pad_value) if op.pad else None,
        }

    def Categorify(self, node, column):
        op = node.op
        group = list(self.mapped(node, column))
        is_combo = op.encode_type == "combo"
        of = [self.part(node, name) for name in group]
        storage = column if is_combo else op.storage_name.get(column, column)
        buckets = op.num_buckets
        buckets = buckets.get(storage) if isinstance(buckets, dict) else buckets
        if buckets and buckets > 1:
            return unsupported(f"Categorify with num_buckets={buckets}", "hashes_rows", of)
        keys = group if is_combo else [storage]
        table, labels = self.table("categories", storage, op.categories.get(storage), keys, [])
        null, unknown, first = 1, 2, 3
        if len(labels) and labels[0] >= first:
            first = int(labels[0])
        if len(labels) and op.single_table:
            # NVTabular gives nulls and unknown values the indexes of the first two categories then.
            null, unknown = first, first + 1
        if len(labels) and list(labels) not in (list(range(first, first + len(labels))), list(range(len(labels)))):
            sys.exit(f"{column}: the categories in {table} do not have consecutive indexes from {first}; fit the workflow again")
        indexes = {"null": null, "unknown": unknown, "first": first}
        return {"op": "Categorify", "of": of, "table": table, "keys": keys, "indexes": indexes}

    def TargetEncoding(self, node, column):
        op = node.op
        for place, group in enumerate(grouped(node.selector)):
            storage = op.name_sep.join(group)
            own = op.out_col[place] if op.out_col is not None else None
            names = [f"TE_{storage}_{target}" for target in op.target_columns] if own is None else np.atleast_1d(own).tolist()
            if column in names:
                target = op.target_columns[names.index(column)]
                break
        else:
            return unsupported("TargetEncoding with drop_folds=False", "hashes_rows", [])
        count, total = f"{storage}{op.name_sep}count", f"{storage}{op.name_sep}{target}{op.name_sep}sum"
        table, _ = self.table("statistics", storage, op.stats[storage], group, [count, total])
        means = op.means if op.target_mean is None else op.target_mean
        mean = means[target] if isinstance(means, dict) else means
        return {
            "op": "TargetEncoding",
            "of": [self.part(node, name) for name in group],
            "table": table,
            "keys": group,
            "count": count,
            "sum": total,
            "p_smooth": number(op.p_smooth),
            "mean": number(mean),
            "kfold": int(op.kfold),
            "precision": "double" if np.dtype(op.output_dtype) == np.float64 else "single",
        }

    def JoinGroupby(self, node, column):
        op = node.op
        for group in grouped(node.selector):
            storage = op.name_sep.join(group)
            names = [f"{storage}{op.name_sep}count"]
            names += [op.name_sep.join([storage, cont, stat]) for cont in op.cont_names.names for stat in op.stats]
            if column in names:
                break
        else:
            return unsupported("JoinGroupby", "no_counterpart", [])
        frame = pd.read_parquet(str(op.categories[storage]))
        # NVTabular rounds some statistics when it joins them.
        singles = [name for name in frame.columns if name not in group and name.endswith(tuple(op.name_sep + stat for stat in ("mean", "std", "var")))]
        types = dict.fromkeys(singles, np.float32)
        table, _ = self.table("statistics", storage, op.categories[storage], group, None, types)
        return {
            "op": "JoinGroupby",
            "of": [self.part(node, name) for name in group],
            "table": table,
            "keys": group,
            "value": column,
        }

    def table(self, folder, name, path, keys, values, types=None):
        """Copies the columns of a table that are needed (`None`: all); gives its path in the export, and its index."""
        if path is None:
            sys.exit(f"the workflow has no table of {name!r}; fit it before it is saved")
        frame = pd.read_parquet(str(path))
        kept = list(frame.columns) if values is None else [*keys, *values]
        same = (str(path), *kept)
        if same not in self.written:
            relative = self.unused(folder, plain(name))
            target = self.folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            frame[kept].astype(types or {}).to_parquet(target, index=False)
            self.written[same] = relative
        return self.written[same], frame.index.to_numpy()

    def unused(self, folder, name):
        """A path that no table has yet."""
        names = [name, *(f"{name}-{place}" for place in range(2, len(self.written) + 2))]
        return next(path for path in (f"{folder}/{name}.parquet" for name in names) if path not in self.written.values())


def is_indicator(node, column):
    return node.op.add_binary_cols and column.endswith("_filled") and column not in node.selector.names


def grouped(selector):
    return [[group] if isinstance(group, str) else list(group) for group in selector.grouped_names]


def unsupported(operator, reason, of):
    return {"op": "Unsupported", "operator": operator, "reason": reason, "of": of}


def plain(name):
    """A name that is safe in a path."""
    return "".join(letter if letter.isalnum() or letter == "_" else "-" for letter in name)


def number(value):
    """A number of Python's own; JSON has no other, and no NaN."""
    if value is None:
        return None
    value = float(value)
    if not math.isfinite(value):
        sys.exit(f"the workflow has {value} among its parameters; fit it on a column that has numbers")
    return value


def kind(schema):
    if schema.is_list:
        return "list"
    element = schema.dtype.element_type.value if schema.dtype is not None else "unknown"
    if element in ("int", "uint", "float", "bool"):
        return "number"
    return "text" if element in ("str", "object") else "unknown"


def raw_columns(expression):
    if expression["op"] == "Column":
        return [expression["name"]]
    of = expression.get("of", [])
    return [raw for part in (of if isinstance(of, list) else [of]) for raw in raw_columns(part)]


def owner(tags):
    is_user = bool(tags & {Tags.USER, Tags.USER_ID})
    is_item = bool(tags & {Tags.ITEM, Tags.ITEM_ID})
    if is_user == is_item:
        return None
    return "user" if is_user else "item"


def main():
    parser = argparse.ArgumentParser(description="Exports a saved NVTabular workflow for gondola import-workflow.")
    parser.add_argument("workflow", help="the folder that workflow.save wrote")
    parser.add_argument("exported", type=Path, help="the folder to write")
    arguments = parser.parse_args()
    workflow = nvtabular.Workflow.load(arguments.workflow)
    arguments.exported.mkdir(parents=True, exist_ok=True)
    document = Exporter(workflow, arguments.exported).document()
    (arguments.exported / "nvtabular.json").write_text(json.dumps(document, indent=2) + "\n")
    names = [column["name"] for column in document["columns"]]
    print(f"{arguments.exported}: {len(names)} outputs of nvtabular {nvtabular.__version__}: {', '.join(names)}")


if __name__ == "__main__":
    main()
