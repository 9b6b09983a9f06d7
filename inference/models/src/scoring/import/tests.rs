use super::*;

/// Files of tree libraries lie beside their readers.
fn fixture(path: &str) -> PathBuf {
    let of = if path.starts_with("trees/") {
        "../forest/tests/fixtures"
    } else {
        "tests/fixtures"
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of).join(path)
}

/// A folder with these files, each a copy of a fixture.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, of) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fixture(of), path).unwrap();
    }
    folder
}

fn imported(place: &Path) -> Result<String, String> {
    imported_as("forest", place)
}

fn imported_as(family: &str, place: &Path) -> Result<String, String> {
    let into = tempfile::tempdir().unwrap();
    let inputs = ["user.age".to_owned()];
    let folder = scorer_folder(place, &inputs, into.path()).map_err(|error| error.to_string())?;
    let described = fs::read_to_string(folder.join("scorer.json")).unwrap();
    assert_eq!(
        described,
        format!(r#"{{"family":"{family}","inputs":["user.age"]}}"#)
    );
    let mut names: Vec<String> = entries(&folder).unwrap().iter().map(|path| name(path)).collect();
    names.retain(|name| name != "scorer.json");
    Ok(names.join(" "))
}

#[track_caller]
fn refused(place: &Path, message: &str) {
    let error = imported(place).unwrap_err();
    assert!(error.contains(message), "{error:?} does not say {message:?}");
}

const LIGHTGBM: &str = "trees/lightgbm_binary_cat_nan.txt";
const XGBOOST: &str = "trees/xgboost_binary_cat.ubj";
const ONNX: &str = "trees/sklearn_rf_clf.onnx";

#[test]
fn folders_of_mlflow_are_read_as_they_are() {
    for (flavor, data, model, becomes) in [
        ("lightgbm", "model.lgb", LIGHTGBM, "model.txt"),
        ("xgboost", "model.ubj", XGBOOST, "model.ubj"),
        ("onnx", "model.onnx", ONNX, "model.onnx"),
    ] {
        let described = format!("mlflow/{flavor}/MLmodel");
        let folder = folder(&[("MLmodel", &described), (data, model)]);
        fs::write(folder.path().join("requirements.txt"), "mlflow==3.17.2\n").unwrap();
        assert_eq!(imported(folder.path()).as_deref(), Ok(becomes));
    }
}

#[test]
fn networks_of_onnx_are_not_taken_for_forests() {
    for network in ["dlrm_dot_gather.legacy.onnx", "scikit_learn.onnx"] {
        let path = Path::new("../onnx/tests/fixtures").join(network);
        assert_eq!(
            imported_as("onnx", &path).as_deref(),
            Ok("model.onnx"),
            "{network}"
        );
    }
}

#[test]
fn what_mlflow_keeps_of_other_libraries_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let describe = |text: &str| fs::write(folder.path().join("MLmodel"), text).unwrap();
    describe("flavors: {python_function: {data: model.pkl}, sklearn: {pickled_model: model.pkl}}");
    refused(folder.path(), "has the flavors python_function, sklearn");
    describe("flavors: {lightgbm: {data: ../elsewhere/model.lgb}}");
    refused(folder.path(), "names the model \"../elsewhere/model.lgb\"");
    describe("flavors: {catboost: {data: model.cb}}");
    fs::write(folder.path().join("model.cb"), b"CBM1....").unwrap();
    refused(folder.path(), "save_model(\"model.json\", format=\"json\")");
    describe("flavors: [");
    refused(folder.path(), "is no MLmodel that can be read");
}

#[test]
fn layouts_of_kserve_and_triton_are_read_as_they_are() {
    // KServe calls every booster's file model.bst.
    let lightgbm = folder(&[("model.bst", LIGHTGBM)]);
    assert_eq!(imported(lightgbm.path()).as_deref(), Ok("model.txt"));
    let xgboost = folder(&[("model.bst", XGBOOST)]);
    assert_eq!(imported(xgboost.path()).as_deref(), Ok("model.ubj"));
    let json = folder(&[("model.bst", "trees/xgboost_binary_cat.json")]);
    fs::write(json.path().join("model-settings.json"), r#"{"name": "mine"}"#).unwrap();
    assert_eq!(imported(json.path()).as_deref(), Ok("model.json"));
    // Triton's versions are folders; the newest is served.
    let triton = folder(&[
        ("2/model.onnx", "trees/sklearn_rf_reg.onnx"),
        ("10/model.onnx", ONNX),
    ]);
    fs::write(triton.path().join("config.pbtxt"), "name: \"mine\"").unwrap();
    assert_eq!(imported(triton.path()).as_deref(), Ok("model.onnx"));
    assert_eq!(
        find(triton.path()).unwrap().path,
        triton.path().join("10/model.onnx")
    );
    // A file by itself.
    assert_eq!(imported(&fixture(LIGHTGBM)).as_deref(), Ok("model.txt"));
}

#[test]
fn what_is_not_a_model_is_refused_by_what_it_is() {
    let empty = tempfile::tempdir().unwrap();
    refused(empty.path(), "there is no model in");
    let write = |name: &str, bytes: &[u8]| fs::write(empty.path().join(name), bytes).unwrap();
    write("model.joblib", &[0x80, 4, 0x95]);
    refused(empty.path(), "a pickle runs code when it is read");
    write("model.joblib", b"binf....");
    refused(empty.path(), "an old binary of XGBoost");
    write(
        "model.joblib",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
    );
    refused(empty.path(), "a pointer of git-lfs");
    let two = folder(&[("a.txt", LIGHTGBM), ("b.onnx", ONNX)]);
    refused(two.path(), "more than one model, a.txt and b.onnx; name the file");
    refused(Path::new("/nowhere"), "cannot use /nowhere");
}

#[test]
fn a_scorer_bundle_s_folder_is_taken_as_it_is() {
    let own = folder(&[("model.txt", LIGHTGBM)]);
    fs::write(own.path().join("scorer.json"), "{}").unwrap();
    assert_eq!(
        scorer_folder(own.path(), &[], Path::new("/nowhere")).unwrap(),
        own.path()
    );
}
