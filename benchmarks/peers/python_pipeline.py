#!/usr/bin/env python3
"""Peer pipeline: the stack a Python user would assemble today, in one process.

  pip install -r requirements.txt        # and redis, for --redis
  python python_pipeline.py make  --dir ART [--items 105542] [--users 200000]
  python python_pipeline.py run   --dir ART [--n 1500]      # per-stage p50/p99, JSON on stdout
  python python_pipeline.py answers --dir ART --n 50 --nprobe 80   # what it recommends, for a comparison
  python python_pipeline.py batch --dir ART                 # amortised cost per user of a bulk job
  python python_pipeline.py cold  --dir ART                 # process start -> first answer

Everything is single-threaded and seeded; the data is synthetic with the H&M column
shapes (105,542 items, ~20 customer and 25 item features). `make` writes neutral
artifacts (npy / json / onnx / sqlite / faiss) so another product can be run on the
same bytes in the same session; compare ratios taken in one interleaved run only.

Variants of the personalized request (same users, rotated order):
  seedlike   sqlite raw features -> pandas categorify+normalize -> ORT tower -> faiss HNSW
             -> sqlite raw item features -> pandas -> ORT DLRM -> top 12
  tuned      raw user row from a dict, per-column dict lookups, ORT tower, faiss HNSW,
             item features preprocessed offline into one matrix, ORT DLRM -> top 12
  tuned_rf   as tuned, scorer = the forest through ORT TreeEnsemble
  tuned_flat as tuned, exact faiss IndexFlatIP
  tuned_ivf  as tuned, faiss IVF1024,Flat nprobe 16
  tuned_redis as tuned, user row from redis HMGET (only if --redis PORT is given)
"""
import os, sys
for v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[v] = "1"
import argparse, json, sqlite3, time
import numpy as np

D = 64
U_CAT = [("club_member_status", 3), ("fashion_news_frequency", 3), ("active", 2), ("postal_code", 352899),
         ("popular_product_type", 131), ("last_product_type", 131), ("popular_colour_group", 50),
         ("last_colour_group", 50), ("popular_department", 250), ("last_department", 250),
         ("popular_section", 56), ("popular_garment_group", 21)]
U_NUM = ["age", "recency", "frequency", "amount", "n_30d", "n_total", "basket", "online_share"]
I_CAT = [("product_code", 47224), ("prod_name", 45875), ("product_type", 131), ("product_group", 19),
         ("graphical_appearance", 30), ("colour_group", 50), ("perceived_colour_value", 8),
         ("perceived_colour_master", 20), ("department_no", 299), ("department_name", 250), ("index_code", 10),
         ("index_name", 10), ("index_group", 5), ("section_no", 57), ("section_name", 56), ("garment_group", 21),
         ("detail_desc", 43404)]
I_NUM = ["price", "count_7d", "count_30d", "count_90d", "count_365d", "time_weighted", "age_days", "online_share"]
T_EMB = 16
now = time.thread_time_ns if os.environ.get("PEER_CLOCK") == "cpu" else time.perf_counter_ns  # cpu: robust on a shared machine (blind to redis waits)


def label(col, k):
    return f"{col[:12]} {k:06d}"


# ------------------------------------------------------------------ artifacts
def gen_embeddings(n, d, rng, centres=600, intrinsic=24):
    basis = np.linalg.qr(rng.standard_normal((d, intrinsic)))[0].T.astype(np.float32)
    c = rng.standard_normal((centres, intrinsic)).astype(np.float32)
    z = c[rng.integers(0, centres, n)] + 0.55 * rng.standard_normal((n, intrinsic)).astype(np.float32)
    x = z @ basis + 0.05 * rng.standard_normal((n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), basis


def onnx_models(rng, basis):
    import onnx
    from onnx import helper as h, numpy_helper as nh, TensorProto as T
    def lin(nodes, init, x, w, b, name, relu=True):
        init += [nh.from_array(w, name + "_w"), nh.from_array(b, name + "_b")]
        nodes.append(h.make_node("Gemm", [x, name + "_w", name + "_b"], [name]))
        if relu:
            nodes.append(h.make_node("Relu", [name], [name + "_r"]))
            return name + "_r"
        return name
    def W(i, o):
        return (rng.standard_normal((i, o)) / np.sqrt(i)).astype(np.float32), (0.01 * rng.standard_normal(o)).astype(np.float32)
    def embeds(nodes, init, cols, src, dim, pre):
        out = []
        for j, (c, card) in enumerate(cols):
            init.append(nh.from_array((rng.standard_normal((card + 1, dim)) * 0.3).astype(np.float32), f"{pre}{j}_t"))
            init.append(nh.from_array(np.int64(j), f"{pre}{j}_i"))
            nodes.append(h.make_node("Gather", [src, f"{pre}{j}_i"], [f"{pre}{j}_c"], axis=1))
            nodes.append(h.make_node("Gather", [f"{pre}{j}_t", f"{pre}{j}_c"], [f"{pre}{j}_e"], axis=0))
            out.append(f"{pre}{j}_e")
        return out
    # query tower: 12 embeddings x16 + 8 numerics -> 128 -> 64 -> L2
    n, i = [], []
    e = embeds(n, i, U_CAT, "ucat", T_EMB, "u")
    n.append(h.make_node("Concat", e + ["unum"], ["x"], axis=1))
    x = lin(n, i, "x", *W(len(U_CAT) * T_EMB + len(U_NUM), 128), "l1")
    w = (rng.standard_normal((128, basis.shape[0])) / 8).astype(np.float32) @ basis
    x = lin(n, i, x, w.astype(np.float32), np.zeros(D, np.float32), "l2", relu=False)
    n.append(h.make_node("LpNormalization", [x], ["q"], axis=1, p=2))
    g = h.make_graph(n, "tower", [h.make_tensor_value_info("ucat", T.INT64, ["B", len(U_CAT)]),
                                  h.make_tensor_value_info("unum", T.FLOAT, ["B", len(U_NUM)])],
                     [h.make_tensor_value_info("q", T.FLOAT, ["B", D])], i)
    tower = h.make_model(g, opset_imports=[h.make_opsetid("", 17)]); tower.ir_version = 8
    # DLRM: 29 tables x64, bottom 16-128-64, pairwise dots, top 128-64-32-1
    n, i = [], []
    cols = U_CAT + I_CAT
    e = embeds(n, i, cols, "cat", D, "e")
    x = lin(n, i, "num", *W(len(U_NUM) + len(I_NUM), 128), "b1")
    bot = lin(n, i, x, *W(128, D), "b2")
    F = len(cols) + 1
    i.append(nh.from_array(np.array([1], np.int64), "ax1"))
    uns = []
    for k, t in enumerate([bot] + e):
        n.append(h.make_node("Unsqueeze", [t, "ax1"], [f"s{k}"])); uns.append(f"s{k}")
    n.append(h.make_node("Concat", uns, ["S"], axis=1))
    n.append(h.make_node("Transpose", ["S"], ["St"], perm=[0, 2, 1]))
    n.append(h.make_node("MatMul", ["S", "St"], ["Z"]))
    i.append(nh.from_array(np.array([-1, F * F], np.int64), "shp"))
    n.append(h.make_node("Reshape", ["Z", "shp"], ["Zf"]))
    r, c = np.tril_indices(F, -1)
    i.append(nh.from_array((r * F + c).astype(np.int64), "tri"))
    n.append(h.make_node("Gather", ["Zf", "tri"], ["P"], axis=1))
    n.append(h.make_node("Concat", [bot, "P"], ["ti"], axis=1))
    x = lin(n, i, "ti", *W(D + len(r), 128), "t1"); x = lin(n, i, x, *W(128, 64), "t2")
    x = lin(n, i, x, *W(64, 32), "t3"); x = lin(n, i, x, *W(32, 1), "t4", relu=False)
    n.append(h.make_node("Sigmoid", [x], ["score"]))
    g = h.make_graph(n, "dlrm", [h.make_tensor_value_info("cat", T.INT64, ["B", len(cols)]),
                                 h.make_tensor_value_info("num", T.FLOAT, ["B", 16])],
                     [h.make_tensor_value_info("score", T.FLOAT, ["B", 1])], i)
    dlrm = h.make_model(g, opset_imports=[h.make_opsetid("", 17)]); dlrm.ir_version = 8
    return tower, dlrm


def make(a):
    import faiss, onnx
    from sklearn.ensemble import RandomForestClassifier
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    os.makedirs(a.dir, exist_ok=True)
    p = lambda f: os.path.join(a.dir, f)
    rng = np.random.default_rng(7)
    N, M = a.items, a.users
    t0 = time.time()
    X, basis = gen_embeddings(N, D, rng); np.save(p("item_emb_64.npy"), X)
    def cats(cols, n):
        out = np.empty((n, len(cols)), np.int64)
        for j, (c, card) in enumerate(cols):
            out[:, j] = np.minimum((rng.pareto(1.1, n) * card * 0.08).astype(np.int64), card - 1)
        return out
    ic, uc = cats(I_CAT, N), cats(U_CAT, M)
    inum = rng.gamma(2.0, 20.0, (N, len(I_NUM))).astype(np.float32)
    unum = rng.gamma(2.0, 20.0, (M, len(U_NUM))).astype(np.float32)
    np.save(p("item_cat.npy"), ic); np.save(p("user_cat.npy"), uc); np.save(p("item_num.npy"), inum); np.save(p("user_num.npy"), unum)
    stats = {"u_mean": unum.mean(0).tolist(), "u_std": unum.std(0).tolist(), "i_mean": inum.mean(0).tolist(), "i_std": inum.std(0).tolist()}
    json.dump(stats, open(p("stats.json"), "w"))
    vocab = {c: [label(c, k) for k in range(card)] for c, card in U_CAT + I_CAT}
    json.dump(vocab, open(p("vocab.json"), "w"))
    if os.path.exists(p("features.sqlite")): os.remove(p("features.sqlite"))
    db = sqlite3.connect(p("features.sqlite"))
    for tab, key, C, Nn, cc, nn in (("users", "user_id", U_CAT, U_NUM, uc, unum), ("items", "item_id", I_CAT, I_NUM, ic, inum)):
        db.execute(f"create table {tab} ({key} text primary key, " + ",".join([f"c_{c} text" for c, _ in C] + [f"n_{c} real" for c in Nn]) + ") without rowid")
        lab = [vocab[c] for c, _ in C]
        rows = ((f"{i:064x}" if tab == "users" else f"{i:010d}", *[lab[j][cc[i, j]] for j in range(len(C))], *map(float, nn[i])) for i in range(len(cc)))
        db.executemany(f"insert into {tab} values (" + ",".join("?" * (1 + len(C) + len(Nn))) + ")", rows)
    db.commit(); db.close()
    tower, dlrm = onnx_models(rng, basis)
    onnx.save(tower, p("tower.onnx")); onnx.save(dlrm, p("dlrm.onnx"))
    f = faiss.IndexHNSWFlat(D, 32, faiss.METRIC_INNER_PRODUCT); f.hnsw.efConstruction = 200; f.add(X); faiss.write_index(f, p("hnsw.faiss"))
    q = faiss.IndexFlatIP(D); iv = faiss.IndexIVFFlat(q, D, 1024, faiss.METRIC_INNER_PRODUCT); iv.train(X); iv.add(X); faiss.write_index(iv, p("ivf.faiss"))
    S, _ = gen_embeddings(N, 512, rng, centres=2000, intrinsic=64); np.save(p("item_emb_512.npy"), S)
    n = 60000
    feat = np.empty((n, 45), np.float32); ui, ii = rng.integers(0, M, n), rng.integers(0, N, n)
    feat[:, :12] = uc[ui] + 1; feat[:, 12:29] = ic[ii] + 1
    feat[:, 29:37] = (unum[ui] - stats["u_mean"]) / stats["u_std"]; feat[:, 37:] = (inum[ii] - stats["i_mean"]) / stats["i_std"]
    s = np.sin(feat[:, 29]) * feat[:, 40] + (feat[:, 4] % 7 == feat[:, 14] % 7) * 1.5 + feat[:, 38] * feat[:, 30] * .4 + rng.standard_normal(n)
    y = (s > np.median(s)).astype(int)
    rf = RandomForestClassifier(100, max_depth=12, random_state=1, n_jobs=1).fit(feat, y)
    onx = convert_sklearn(rf, initial_types=[("x", FloatTensorType([None, 45]))], options={id(rf): {"zipmap": False}}, target_opset=17)
    open(p("rf.onnx"), "wb").write(onx.SerializeToString())
    import pickle; pickle.dump(rf, open(p("rf.pkl"), "wb")); np.save(p("rf_x.npy"), feat[:20000]); np.save(p("rf_y.npy"), y[:20000])
    nodes = sum(t.tree_.node_count for t in rf.estimators_)
    depth = np.mean([t.decision_path(feat[:2000]).sum(1).mean() for t in rf.estimators_])
    json.dump({"items": N, "users": M, "rf_nodes": int(nodes), "rf_mean_path": float(depth), "make_s": time.time() - t0}, open(p("meta.json"), "w"))
    print(json.dumps(json.load(open(p("meta.json")))))


# ------------------------------------------------------------------ serving
class Pipe:
    def __init__(s, d, redis_port=None, parts=("pandas", "all")):
        import onnxruntime as ort, faiss
        faiss.omp_set_num_threads(1)
        p = lambda f: os.path.join(d, f)
        o = ort.SessionOptions(); o.intra_op_num_threads = 1; o.inter_op_num_threads = 1
        o.add_session_config_entry("session.intra_op.allow_spinning", "0")
        S = lambda f: ort.InferenceSession(p(f), o, providers=["CPUExecutionProvider"])
        s.tower, s.dlrm, s.rf = S("tower.onnx"), S("dlrm.onnx"), S("rf.onnx")
        s.hnsw = faiss.read_index(p("hnsw.faiss")); s.hnsw.hnsw.efSearch = 256
        s.st = json.load(open(p("stats.json"))); voc = json.load(open(p("vocab.json")))
        s.dicts = {c: {v: k + 1 for k, v in enumerate(voc[c])} for c, _ in U_CAT + I_CAT}
        for k in ("u_mean", "u_std", "i_mean", "i_std"): setattr(s, k, np.asarray(s.st[k], np.float32))
        ic, inum = np.load(p("item_cat.npy")), np.load(p("item_num.npy"))
        s.I_cat = ic + 1; s.I_num = ((inum - s.i_mean) / s.i_std).astype(np.float32)
        s.n_items = len(ic)
        s.ids = [f"{i:010d}" for i in range(s.n_items)]
        s.db = sqlite3.connect(p("features.sqlite")); s.db.execute("pragma mmap_size=1000000000"); s.db.execute("pragma query_only=1")
        s.d = d; s.redis = None
        s.ucols = [c for c, _ in U_CAT]; s.icols = [c for c, _ in I_CAT]
        if redis_port:
            import redis; s.redis = redis.Redis(port=redis_port, decode_responses=True)
        if parts[0]:
            import pandas as pd
            s.pd = pd; s.maps = {c: pd.Series(s.dicts[c], dtype="int64") for c in s.dicts}
        s.I_f32 = np.concatenate([s.I_cat.astype(np.float32), s.I_num], 1)

    def load_side_indexes(s):
        import faiss
        s.ivf = faiss.read_index(os.path.join(s.d, "ivf.faiss")); s.ivf.nprobe = 16
        X = np.load(os.path.join(s.d, "item_emb_64.npy")); s.flat = faiss.IndexFlatIP(D); s.flat.add(X)

    def load_user_dict(s):
        s.users = {r[0]: r[1:] for r in s.db.execute("select * from users")}

    def prep_pandas(s, rows, cols, ncols, mean, std, cc, nn):
        df = s.pd.DataFrame(rows, columns=cols)
        cat = np.empty((len(df), len(cc)), np.int64)
        for j, c in enumerate(cc):
            cat[:, j] = s.maps[c].reindex(df["c_" + c]).fillna(0).to_numpy()
        num = ((df[["n_" + c for c in nn]].to_numpy(np.float32) - mean) / std).astype(np.float32)
        return cat, num

    def prep_user_dict(s, row):
        c = np.array([[s.dicts[col].get(row[j], 0) for j, col in enumerate(s.ucols)]], np.int64)
        return c, ((np.asarray([row[12:]], np.float32) - s.u_mean) / s.u_std)

    def topk(s, score, cand, k=12):
        ix = np.argpartition(-score, k)[:k]; ix = ix[np.argsort(-score[ix])]
        return [(s.ids[cand[i]], float(score[i])) for i in ix]

    def seedlike(s, uid):
        T = [now()]
        row = s.db.execute("select * from users where user_id=?", (uid,)).fetchall(); T.append(now())
        ucols = ["id"] + ["c_" + c for c in s.ucols] + ["n_" + c for c in U_NUM]
        uc, un = s.prep_pandas(row, ucols, None, s.u_mean, s.u_std, s.ucols, U_NUM); T.append(now())
        q = s.tower.run(None, {"ucat": uc, "unum": un})[0]; T.append(now())
        cand = s.hnsw.search(q, 200)[1][0]; T.append(now())
        ids = [s.ids[i] for i in cand]
        rows = s.db.execute("select * from items where item_id in (" + ",".join("?" * 200) + ")", ids).fetchall(); T.append(now())
        icols = ["id"] + ["c_" + c for c in s.icols] + ["n_" + c for c in I_NUM]
        ic, inn = s.prep_pandas(rows, icols, None, s.i_mean, s.i_std, s.icols, I_NUM)
        cat = np.concatenate([np.repeat(uc, 200, 0), ic], 1); num = np.concatenate([np.repeat(un, 200, 0), inn], 1); T.append(now())
        sc = s.dlrm.run(None, {"cat": cat, "num": num})[0][:, 0]; T.append(now())
        order = [int(r[0]) for r in rows]
        s.topk(sc, order); T.append(now())
        return T

    def tuned(s, uid, index="hnsw", scorer="dlrm", store="dict"):
        T = [now()]
        if store == "redis":
            v = s.redis.hvals("u:" + uid); row = tuple(v[:12]) + tuple(map(float, v[12:]))
        elif store == "sqlite":
            row = s.db.execute("select * from users where user_id=?", (uid,)).fetchone()[1:]
        else:
            row = s.users[uid]
        T.append(now())
        uc, un = s.prep_user_dict(row); T.append(now())
        q = s.tower.run(None, {"ucat": uc, "unum": un})[0]; T.append(now())
        cand = getattr(s, index).search(q, 200)[1][0]; T.append(now())
        if scorer == "dlrm":
            cat = np.empty((200, 29), np.int64); num = np.empty((200, 16), np.float32)
            cat[:, :12] = uc; cat[:, 12:] = s.I_cat[cand]; num[:, :8] = un; num[:, 8:] = s.I_num[cand]
            T.append(now()); T.append(now())
            sc = s.dlrm.run(None, {"cat": cat, "num": num})[0][:, 0]
        else:
            x = np.empty((200, 45), np.float32); x[:, :12] = uc; x[:, 12:29] = s.I_cat[cand]; x[:, 29:37] = un; x[:, 37:] = s.I_num[cand]
            T.append(now()); T.append(now())
            sc = s.rf.run(None, {"x": x})[1][:, 1]
        T.append(now())
        s.answer = s.topk(sc, cand); T.append(now())
        return T

STAGES = ["user_fetch", "user_prep", "tower", "ann", "item_fetch", "item_prep", "score", "top12"]

def q(x):
    x = np.sort(np.asarray(x, float)) / 1e3
    return {"p50_us": round(float(np.quantile(x, .5)), 1), "p99_us": round(float(np.quantile(x, .99)), 1), "min_us": round(float(x[0]), 1), "mean_us": round(float(x.mean()), 1)}

def machine():
    m = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    return {"cpu": m[0], "cores": len(m), "load": os.getloadavg()}

def run(a):
    os.sched_setaffinity(0, {os.cpu_count() - 1})
    P = Pipe(a.dir, a.redis); P.load_side_indexes(); P.load_user_dict()
    keys = list(P.users)
    if P.redis:
        pipe = P.redis.pipeline(transaction=False)
        for k in keys[:20000]:
            r = P.users[k]; pipe.hset("u:" + k, mapping={str(j): v for j, v in enumerate(r)})
        pipe.execute(); keys = keys[:20000]
    V = {"seedlike": P.seedlike, "tuned": P.tuned, "tuned_sqlite": lambda u: P.tuned(u, store="sqlite"),
         "tuned_rf": lambda u: P.tuned(u, scorer="rf"), "tuned_flat": lambda u: P.tuned(u, index="flat"),
         "tuned_ivf": lambda u: P.tuned(u, index="ivf")}
    if P.redis: V["tuned_redis"] = lambda u: P.tuned(u, store="redis")
    rng = np.random.default_rng(3); rec = {k: [] for k in V}
    # recall of the indexes against exact on the pipeline's own queries
    qs = []
    for u in rng.choice(len(keys), 200):
        uc, un = P.prep_user_dict(P.users[keys[u]]); qs.append(P.tower.run(None, {"ucat": uc, "unum": un})[0][0])
    qs = np.asarray(qs); ex = P.flat.search(qs, 200)[1]
    rec200 = {n: float(np.mean([len(np.intersect1d(x, y)) / 200 for x, y in zip(getattr(P, n).search(qs, 200)[1], ex)])) for n in ("hnsw", "ivf")}
    for i in range(a.n + 30):
        u = keys[rng.integers(len(keys))]
        names = list(V); names = names[i % len(names):] + names[:i % len(names)]
        for n in names:
            if n == "seedlike" and i % 4: continue
            T = V[n](u)
            if i >= 30: rec[n].append(T)
    out = {"machine": machine(), "n": a.n, "recall_at_200": rec200, "variants": {}}
    for n, t in rec.items():
        t = np.asarray(t); dlt = np.diff(t, axis=1)
        out["variants"][n] = {"total": q(t[:, -1] - t[:, 0]), **{sname: q(dlt[:, j]) for j, sname in enumerate(STAGES)}}
    print(json.dumps(out, indent=1))

def answers(a):
    """What the tuned pipeline answers to the first users, for another product to be compared with."""
    P = Pipe(a.dir, None, (None, "all")); P.load_side_indexes(); P.load_user_dict(); P.ivf.nprobe = a.nprobe
    out = {}
    for scorer in ("dlrm", "rf"):
        out[scorer] = []
        for u in range(a.n):
            P.tuned(f"{u:064x}", index="ivf", scorer=scorer); out[scorer].append(P.answer)
    print(json.dumps(out))

def batch(a):
    os.sched_setaffinity(0, {os.cpu_count() - 1})
    P = Pipe(a.dir, None, (None, "all")); P.load_side_indexes()
    uc = np.load(os.path.join(a.dir, "user_cat.npy")) + 1; un = ((np.load(os.path.join(a.dir, "user_num.npy")) - P.u_mean) / P.u_std).astype(np.float32)
    out = {"machine": machine(), "batch_users": a.batch}
    rng = np.random.default_rng(5); st = {k: [] for k in ("tower", "ann_flat", "ann_ivf", "gather", "dlrm", "rf", "top12")}
    for r in range(6):
        u = rng.integers(0, len(uc), a.batch); t = now()
        qq = P.tower.run(None, {"ucat": uc[u], "unum": un[u]})[0]; st["tower"].append(now() - t)
        t = now(); cand = P.flat.search(qq, 200)[1]; st["ann_flat"].append(now() - t)
        t = now(); P.ivf.search(qq, 200); st["ann_ivf"].append(now() - t)
        g = dl = rf = tk = 0
        for b in range(0, a.batch, 16):
            t = now(); c = cand[b:b + 16].reshape(-1)
            cat = np.concatenate([np.repeat(uc[u[b:b + 16]], 200, 0), P.I_cat[c]], 1); num = np.concatenate([np.repeat(un[u[b:b + 16]], 200, 0), P.I_num[c]], 1); g += now() - t
            t = now(); sc = P.dlrm.run(None, {"cat": cat, "num": num})[0].reshape(-1, 200); dl += now() - t
            if r < 2:
                x = np.concatenate([cat.astype(np.float32), num], 1)
                t = now(); P.rf.run(None, {"x": x}); rf += now() - t
            t = now(); np.argpartition(-sc, 12, axis=1)[:, :12]; tk += now() - t
        st["gather"].append(g); st["dlrm"].append(dl); st["top12"].append(tk)
        if r < 2: st["rf"].append(rf)
    per = {k: float(np.median(v)) / a.batch / 1e3 for k, v in st.items()}
    out["us_per_user"] = {k: round(v, 1) for k, v in per.items()}
    tot = per["tower"] + min(per["ann_flat"], per["ann_ivf"]) + per["gather"] + per["dlrm"] + per["top12"]
    out["us_per_user"]["total_dlrm"] = round(tot, 1); out["hours_for_1371980_users_1_core"] = round(tot * 1371980 / 1e6 / 3600, 3)
    print(json.dumps(out, indent=1))

def cold(a):
    import subprocess
    code = ("import time;t=time.perf_counter();import sys;sys.path.insert(0,%r);import python_pipeline as p;t1=time.perf_counter();"
            "P=p.Pipe(%r,None,(None,'all'));t2=time.perf_counter();"
            "P.tuned('%064x',store='sqlite');t3=time.perf_counter();import json;print(json.dumps([t1-t,t2-t1,t3-t2]))") % (os.path.dirname(os.path.abspath(__file__)), os.path.abspath(a.dir), 5)
    R = []
    for _ in range(5):
        t = time.perf_counter(); o = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        R.append([time.perf_counter() - t] + json.loads(o))
    m = np.median(np.array(R), 0)
    print(json.dumps({"machine": machine(), "cold_wall_s": round(m[0], 3), "import_s": round(m[1], 3), "load_s": round(m[2], 3), "first_request_s": round(m[3], 4), "note": "page cache warm; sqlite user store, no user dict"}, indent=1))

if __name__ == "__main__":
    ap = argparse.ArgumentParser(); ap.add_argument("cmd", choices=["make", "run", "answers", "batch", "cold"]); ap.add_argument("--dir", required=True)
    ap.add_argument("--items", type=int, default=105542); ap.add_argument("--users", type=int, default=200000)
    ap.add_argument("--n", type=int, default=1500); ap.add_argument("--redis", type=int); ap.add_argument("--batch", type=int, default=512)
    ap.add_argument("--nprobe", type=int, default=16)
    a = ap.parse_args(); {"make": make, "run": run, "answers": answers, "batch": batch, "cold": cold}[a.cmd](a)
