//! What folders say, against vectors that were computed without this program; what can't be done is refused.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::similarity::encoder::{TextEncoder, load, load_published};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/encoders");

/// A folder with the small BERT and these JSON files.
fn folder(files: &[(&str, Value)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bert = Path::new(FIXTURES).join("bert");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(bert.join(file), folder.path().join(file)).unwrap();
    }
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.to_string()).unwrap();
    }
    folder
}

fn with_dense(files: &[(&str, Value)]) -> TempDir {
    let folder = folder(files);
    let dense = folder.path().join("2_Dense");
    fs::create_dir_all(&dense).unwrap();
    for file in ["config.json", "model.safetensors"] {
        if !dense.join(file).exists() {
            fs::copy(
                Path::new(FIXTURES).join("bert/2_Dense").join(file),
                dense.join(file),
            )
            .unwrap();
        }
    }
    folder
}

/// `modules.json` with these modules, by class and folder.
fn modules(modules: &[(&str, &str)]) -> (&'static str, Value) {
    let module = |(kind, path): &(&str, &str)| json!({"name": path, "path": path, "type": format!("sentence_transformers.models.{kind}")});
    ("modules.json", modules.iter().map(module).collect())
}

const POOLED: [(&str, &str); 2] = [("Transformer", ""), ("Pooling", "1_Pooling")];

/// The pooling of these flags, as releases before 5.4 write it.
fn pooling(flags: &[&str]) -> (&'static str, Value) {
    let mut config = json!({"word_embedding_dimension": 16});
    for flag in ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"] {
        config[format!("pooling_mode_{flag}")] = json!(false);
    }
    for flag in flags {
        config[format!("pooling_mode_{flag}")] = json!(true);
    }
    ("1_Pooling/config.json", config)
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(Path::new(FIXTURES).join("expected.json")).unwrap()).unwrap()
}

#[track_caller]
fn check_encoder(encoder: &dyn TextEncoder, name: &str) {
    let expected = expected();
    let texts: Vec<&str> = expected["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    let rows = expected[name].as_array().expect("the fixture has it");
    let wanted: Vec<f32> = rows
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|value| value.as_f64().unwrap() as f32)
        .collect();
    let found = encoder.encode(&texts).unwrap();
    assert_eq!(found.len(), wanted.len(), "{name}");
    assert_eq!(encoder.dimension() * texts.len(), wanted.len(), "{name}");
    let worst = found
        .iter()
        .zip(&wanted)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 1e-4, "{name} is off by {worst}");
}

#[track_caller]
fn check(folder: &TempDir, name: &str) {
    check_encoder(load(folder.path(), Default::default()).unwrap().as_ref(), name);
    let weights = folder.path().join("model.safetensors");
    fs::remove_file(&weights).unwrap();
    for within in ["", "onnx"] {
        let file = put_network(folder, "encoders/bert.onnx", within);
        check_encoder(load(folder.path(), Default::default()).unwrap().as_ref(), name);
        fs::remove_file(file).unwrap();
    }
    fs::copy(Path::new(FIXTURES).join("bert/model.safetensors"), weights).unwrap();
}

/// Puts a network of the fixtures in the place of a folder's weights.
fn put_network(folder: &TempDir, fixture: &str, within: &str) -> PathBuf {
    let file = folder.path().join(within).join("model.onnx");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::copy(Path::new(FIXTURES).join("..").join(fixture), &file).unwrap();
    file
}

#[test]
fn a_model_of_another_family_is_read_as_onnx_and_one_that_is_no_encoder_is_refused_by_name() {
    let mean = [modules(&POOLED), pooling(&["mean_tokens"])];
    let folder = folder(&mean);
    let config = folder.path().join("config.json");
    let roberta = fs::read_to_string(&config)
        .unwrap()
        .replace("\"bert\"", "\"electra\"");
    fs::write(&config, roberta).unwrap();
    check_refused(&folder, "model_type `electra` is not supported");
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let file = put_network(&folder, "encoders/bert.onnx", "");
    assert_eq!(
        crate::similarity::encoder::network_file(folder.path()),
        Some(file)
    );
    check_encoder(
        load_published(folder.path(), Default::default())
            .unwrap()
            .as_ref(),
        "mean",
    );
    put_network(&folder, "dlrm/dlrm_dot_gather.legacy.onnx", "");
    check_refused(&folder, "but an encoder is given input_ids");
}

#[track_caller]
fn check_refused(folder: &TempDir, part: &str) {
    let error = load(folder.path(), Default::default())
        .err()
        .expect("it can't be done");
    let message = format!("{:#}", anyhow::Error::from(error));
    assert!(message.contains(part), "{message}");
}

#[test]
fn pooling_is_as_the_folder_says() {
    for (flags, name) in [
        (&["cls_token"][..], "cls"),
        (&["mean_tokens"], "mean"),
        (&["max_tokens"], "max"),
        (&["mean_sqrt_len_tokens"], "mean_sqrt_len_tokens"),
        (&["weightedmean_tokens"], "weightedmean"),
        (&["lasttoken"], "lasttoken"),
        (&["mean_tokens", "cls_token"], "cls and mean"),
    ] {
        check(&folder(&[modules(&POOLED), pooling(flags)]), name);
    }
    for (mode, name) in [
        (json!("cls"), "cls"),
        (json!("lasttoken"), "lasttoken"),
        (json!(["cls", "mean"]), "cls and mean"),
    ] {
        let named = (
            "1_Pooling/config.json",
            json!({"embedding_dimension": 16, "pooling_mode": mode}),
        );
        check(&folder(&[modules(&POOLED), named]), name);
    }
}

#[test]
fn a_folder_without_modules_is_a_transformer_whose_vectors_are_means() {
    check(&folder(&[]), "mean");
    check(&folder(&[pooling(&["cls_token"])]), "cls");
}

#[test]
fn vectors_have_the_length_one_with_and_without_a_module_for_it() {
    let scaled = [POOLED[0], POOLED[1], ("Normalize", "2_Normalize")];
    check(&folder(&[modules(&scaled), pooling(&["cls_token"])]), "cls");
    let cosine = (
        SETTINGS,
        json!({"prompts": {}, "default_prompt_name": null, "similarity_fn_name": "cosine"}),
    );
    check(
        &folder(&[modules(&POOLED), pooling(&["cls_token"]), cosine]),
        "cls",
    );
    let dot = (SETTINGS, json!({"similarity_fn_name": "dot"}));
    check(
        &folder(&[modules(&scaled), pooling(&["cls_token"]), dot.clone()]),
        "cls",
    );
    check_refused(
        &folder(&[modules(&POOLED), pooling(&["cls_token"]), dot]),
        "`similarity_fn_name` is `dot`, but texts are compared by the cosine",
    );
}

#[test]
fn dense_layers_follow_pooling_in_their_order() {
    let dense = ("Dense", "2_Dense");
    check(
        &with_dense(&[modules(&[POOLED[0], POOLED[1], dense]), pooling(&["mean_tokens"])]),
        "mean, dense",
    );
    let scaled = [
        POOLED[0],
        POOLED[1],
        ("Normalize", "3_Normalize"),
        dense,
        ("Dropout", "4_Dropout"),
    ];
    check(
        &with_dense(&[modules(&scaled), pooling(&["mean_tokens"])]),
        "mean, scaled, dense",
    );
}

#[test]
fn a_prompt_stands_before_every_text_where_it_is_the_default() {
    let prompts = |default: Value| {
        let prompt = &expected()["prompt"];
        (
            SETTINGS,
            json!({"prompts": {"query": prompt, "passage": ""}, "default_prompt_name": default}),
        )
    };
    let with = |settings| folder(&[modules(&POOLED), pooling(&["mean_tokens"]), settings]);
    check(&with(prompts(json!("query"))), "mean, prompt");
    check(&with(prompts(json!("passage"))), "mean");
    check(&with(prompts(json!(null))), "mean");
    check_refused(
        &with(prompts(json!("other"))),
        "`default_prompt_name` is `other`, but `prompts` must have it",
    );
    let mut left_out = pooling(&["mean_tokens"]);
    left_out.1["include_prompt"] = json!(false);
    check_refused(
        &folder(&[modules(&POOLED), left_out, prompts(json!("query"))]),
        "pooling leaves the prompt out (include_prompt), which is not supported",
    );
}

#[test]
fn what_can_not_be_done_is_refused_by_name() {
    let dense = [POOLED[0], POOLED[1], ("Dense", "2_Dense")];
    let config = |key: &str, value: Value| {
        let mut config = json!({"in_features": 16, "out_features": 8, "bias": true, "activation_function": "torch.nn.modules.activation.Tanh"});
        config[key] = value;
        ("2_Dense/config.json", config)
    };
    let mean = pooling(&["mean_tokens"]);
    for (files, part) in [
        (
            vec![modules(&[POOLED[0], ("LSTM", "1_LSTM")])],
            "modules.json: the module `sentence_transformers.models.LSTM` is not supported",
        ),
        (
            vec![modules(&POOLED), pooling(&[])],
            "1_Pooling/config.json: `pooling_mode` is none, but supported: cls",
        ),
        (vec![modules(&POOLED)], "1_Pooling/config.json: cannot be read"),
        (
            vec![
                modules(&POOLED),
                ("1_Pooling/config.json", json!({"pooling_mode": "attention"})),
            ],
            "`pooling_mode` is `attention`",
        ),
        (
            vec![
                modules(&POOLED),
                (
                    "1_Pooling/config.json",
                    json!({"word_embedding_dimension": 32, "pooling_mode": "cls"}),
                ),
            ],
            "`hidden_size` is 16, but `word_embedding_dimension` of the pooling must be that",
        ),
        (
            vec![modules(&[POOLED[0], ("Pooling", "../other")])],
            "`path` is `../other`, but modules lie within",
        ),
        (
            vec![modules(&dense), mean.clone(), config("in_features", json!(32))],
            "`in_features` is 32 (to 8 out_features), but 16 numbers come in",
        ),
        (
            vec![
                modules(&dense),
                mean.clone(),
                config("activation_function", json!("torch.nn.modules.activation.PReLU")),
            ],
            "`activation_function` is `torch.nn.modules.activation.PReLU`, but supported: Identity, Tanh",
        ),
        (
            vec![
                modules(&dense),
                mean.clone(),
                config("module_output_name", json!("token_embeddings")),
            ],
            "`module_output_name` is `token_embeddings`",
        ),
    ] {
        check_refused(&with_dense(&files), part);
    }
    let without_weights = folder(&[modules(&dense), mean, config("bias", json!(true))]);
    check_refused(&without_weights, "2_Dense/model.safetensors: cannot be read");
}

#[test]
fn a_clip_with_steps_of_its_own_is_refused() {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clip");
    let folder = with_dense(&[modules(&[("CLIPModel", ""), ("Dense", "2_Dense")])]);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(clip.join(file), folder.path().join(file)).unwrap();
    }
    check_refused(
        &folder,
        "only `bert` can have pooling, dense layers or a prompt of its own",
    );
    fs::write(
        folder.path().join("modules.json"),
        modules(&[("CLIPModel", "")]).1.to_string(),
    )
    .unwrap();
    assert_eq!(load(folder.path(), Default::default()).unwrap().dimension(), 16);
}

#[test]
fn a_pointer_of_git_lfs_is_refused_as_one() {
    let folder = folder(&[]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n";
    fs::write(folder.path().join("model.safetensors"), pointer).unwrap();
    check_refused(&folder, "model.safetensors is a pointer of git-lfs");
}

#[test]
fn a_published_encoder_without_its_modules_is_one_of_means() {
    let old = folder(&[modules(&POOLED)]);
    let encoder = load_published(old.path(), Default::default()).unwrap();
    check_encoder(encoder.as_ref(), "mean");
    let whole = folder(&[modules(&POOLED), pooling(&["cls_token"])]);
    let encoder = load_published(whole.path(), Default::default()).unwrap();
    check_encoder(encoder.as_ref(), "cls");
}

#[test]
fn the_folders_of_modules_are_those_that_are_there() {
    let scaled = [
        POOLED[0],
        POOLED[1],
        ("Dense", "2_Dense"),
        ("Normalize", "3_Normalize"),
    ];
    let folder = with_dense(&[modules(&scaled), pooling(&["cls_token"])]);
    let found = module_folders(folder.path()).unwrap();
    assert_eq!(
        found,
        ["1_Pooling", "2_Dense"].map(|name| folder.path().join(name))
    );
}
