//! A batch has the lists that requests are answered with, whatever comes in its way.

mod lists;
mod shop;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_protocol::proto::{RecommendRequest, RecommendResponse};
use gondola_tests::server::Server;

use lists::{files, read};
use shop::{CUSTOMERS, Shop};

const K: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_the_list_that_a_request_is_answered_with() {
    let shop = Shop::open().await;
    for scorer in ["dlrm", "forest"] {
        let out = shop.folder.path().join(format!("whole-{scorer}"));
        let submission = shop.folder.path().join(format!("{scorer}.csv"));
        succeed(&shop.batch(scorer, &out, &["--submission", submission.to_str().unwrap()]));
        lists_are_the_answers(&shop, scorer, &out).await;
        a_submission_has_twelve_items_for_every_customer(&out, &submission);
    }
    let whole = shop.folder.path().join("whole-forest");
    the_same_bytes_come_again_from_any_number_of_threads_and_shards(&shop, &whole);
    a_killed_shard_leaves_nothing_half_written(&shop, &whole);
    a_write_that_fails_leaves_nothing_half_written(&shop, &whole);
    another_batch_is_not_written_over(&shop, &whole);
    a_list_of_users_is_a_part_of_everybody(&shop, &whole);
    routes_give_every_user_to_one_variant(&shop, &whole);
    what_can_not_be_done_is_said_with_the_way_out(&shop);
    for scorer in ["dlrm", "forest"] {
        a_device_makes_the_lists_that_it_answers_with(&shop, scorer).await;
    }
    a_batch_of_another_device_is_not_gone_on_with(&shop);
}

#[track_caller]
fn succeed(output: &Output) {
    assert!(output.status.success(), "{}", text(output));
}

#[track_caller]
fn refuse(output: &Output, parts: &[&str]) {
    let said = text(output);
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one line: {said}");
    for part in parts {
        assert!(said.contains(part), "{said} does not say {part:?}");
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn lists_are_the_answers(shop: &Shop, scorer: &str, out: &Path) {
    let lists = read(out);
    assert_eq!(lists.len(), CUSTOMERS);
    let server = Server::start(&shop.up(scorer)).await.unwrap();
    let mut client = RecommenderClient::connect(format!("http://{}", server.address))
        .await
        .unwrap();
    for list in lists {
        let answer = client
            .recommend(request(list.user.clone()))
            .await
            .unwrap()
            .into_inner();
        assert!(answer.degraded.is_empty() && list.degraded.is_empty());
        for (role, digest) in &list.bundles {
            assert_eq!(answer.bundles.get(role), Some(digest), "{role}");
        }
        assert_eq!(list.bundles.len(), 3);
        assert_eq!(list.items, scored(answer), "{scorer}, user {}", list.user);
    }
    assert!(server.stop().await.unwrap().success());
}

/// Makes networks run in tensors on the processor.
const ON_DEVICE: [&str; 2] = ["--device", "cpu-tensors"];
/// More than are answered together.
const ASKED: usize = 100;

/// A file with the first of the users.
fn some_users(shop: &Shop) -> PathBuf {
    let everybody = read(&shop.folder.path().join("whole-dlrm"));
    let users: Vec<String> = everybody.into_iter().take(ASKED).map(|list| list.user).collect();
    let path = shop.folder.path().join("some-users");
    fs::write(&path, users.join("\n")).unwrap();
    path
}

/// Batch and requests gather other users with one another.
async fn a_device_makes_the_lists_that_it_answers_with(shop: &Shop, scorer: &str) {
    let out = shop.folder.path().join(format!("device-{scorer}"));
    let users = some_users(shop);
    let users = ["--users", users.to_str().unwrap()];
    succeed(&shop.batch(scorer, &out, &[ON_DEVICE, users].concat()));
    let lists = read(&out);
    assert_eq!(lists.len(), ASKED);
    // Tensors take their time on a processor.
    let more = [ON_DEVICE, ["--deadline-ms", "60000"], ["--max-questions", "1000"]].concat();
    let up = [shop.up(scorer), more.into_iter().map(str::to_owned).collect()].concat();
    let server = Server::start(&up).await.unwrap();
    let client = RecommenderClient::connect(format!("http://{}", server.address))
        .await
        .unwrap();
    let asked: Vec<_> = lists
        .iter()
        .map(|list| {
            let (mut client, user) = (client.clone(), list.user.clone());
            tokio::spawn(async move { client.recommend(request(user)).await })
        })
        .collect();
    for (list, asked) in lists.iter().zip(asked) {
        let answer = asked.await.unwrap().unwrap().into_inner();
        assert_eq!(list.items, scored(answer), "{scorer}, user {}", list.user);
    }
    assert!(server.stop().await.unwrap().success());
}

fn a_batch_of_another_device_is_not_gone_on_with(shop: &Shop) {
    let users = some_users(shop);
    let refused = shop.batch(
        "dlrm",
        &shop.folder.path().join("device-dlrm"),
        &["--users", users.to_str().unwrap()],
    );
    refuse(
        &refused,
        &["its device is cpu-tensors, and this one's is not set"],
    );
}

fn request(user: String) -> RecommendRequest {
    RecommendRequest {
        user,
        k: Some(K as u32),
        explain_timing: false,
    }
}

/// The items of an answer, each with the bits of its score.
fn scored(answer: RecommendResponse) -> Vec<(String, u32)> {
    let items = answer.items.into_iter();
    items.map(|found| (found.item, found.score.to_bits())).collect()
}

fn a_submission_has_twelve_items_for_every_customer(out: &Path, submission: &Path) {
    let submitted = fs::read_to_string(submission).unwrap();
    let mut lines = submitted.lines();
    assert_eq!(lines.next(), Some("customer_id,prediction"));
    let lists = read(out);
    assert_eq!(lists.len(), CUSTOMERS);
    for (line, list) in lines.zip(lists) {
        let items: Vec<&str> = list.items.iter().map(|(item, _)| item.as_str()).collect();
        assert_eq!(line, format!("{},{}", list.user, items.join(" ")));
        assert_eq!(items.len(), K);
    }
}

fn the_same_bytes_come_again_from_any_number_of_threads_and_shards(shop: &Shop, whole: &Path) {
    let wanted = files(whole);
    succeed(&shop.batch("forest", whole, &["--threads", "1"]));
    assert_eq!(files(whole), wanted, "run again");
    let sharded = shop.folder.path().join("sharded");
    for shard in ["2/3", "0/3", "1/3", "0/3"] {
        assert!(shard == "0/3" || !sharded.join("manifest.json").exists());
        succeed(&shop.batch("forest", &sharded, &["--shard", shard, "--threads", "3"]));
    }
    let lists = |folder: &Path| {
        let mut files = files(folder);
        files.retain(|path, _| path.starts_with("lists/"));
        files
    };
    assert_eq!(lists(&sharded), lists(whole), "in three shards");
    let manifest = fs::read_to_string(sharded.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let users: u64 = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["users"].as_u64().unwrap())
        .sum();
    assert_eq!(
        (users, &manifest["users"]["count"]),
        (CUSTOMERS as u64, &users.into())
    );
}

fn a_killed_shard_leaves_nothing_half_written(shop: &Shop, whole: &Path) {
    let wanted = files(whole);
    let killed = shop.folder.path().join("killed");
    for _ in 0..20 {
        let _ = fs::remove_dir_all(&killed);
        let mut command = shop.batch_command("forest", &killed, &["--threads", "1"]);
        let running = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        kill_when_there_is(running, &killed.join("lists"));
        if !killed.join("manifest.json").exists() {
            break;
        }
    }
    assert!(
        !killed.join("manifest.json").exists(),
        "it was never killed in time"
    );
    let left = files(&killed);
    assert!(left.len() < wanted.len());
    for (path, bytes) in left {
        assert_eq!(Some(&bytes), wanted.get(&path), "{path}");
    }
    succeed(&shop.batch("forest", &killed, &[]));
    assert_eq!(files(&killed), wanted);
}

fn kill_when_there_is(mut running: Child, path: &Path) {
    let give_up = Instant::now() + Duration::from_secs(120);
    while !path.exists() {
        assert!(Instant::now() < give_up, "there is no {}", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
    // It may have ended by itself.
    let _ = running.kill();
    running.wait().unwrap();
}

fn a_write_that_fails_leaves_nothing_half_written(shop: &Shop, whole: &Path) {
    let out = shop.folder.path().join("full");
    let mut limited = std::process::Command::new("sh");
    // Files of at most 2.5 KiB, or 5 where the shell counts in whole ones: room for the plan, and for no lists.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 5; exec \"$@\"", "sh"]);
    let command = shop.batch_command("forest", &out, &[]);
    limited.arg(command.get_program()).args(command.get_args());
    refuse(
        &limited.output().unwrap(),
        &[
            "cannot write lists/buckets-0000-0099.parquet to file://",
            "File too large",
        ],
    );
    assert_eq!(files(&out).keys().collect::<Vec<_>>(), ["batch.json"]);
    succeed(&shop.batch("forest", &out, &[]));
    assert_eq!(files(&out), files(whole));
}

fn another_batch_is_not_written_over(shop: &Shop, whole: &Path) {
    let before = files(whole);
    let refused = shop.batch("forest", whole, &["--shard", "1/4"]);
    refuse(
        &refused,
        &[
            "has a batch whose number of shards is 1, and --shard says 4",
            "--shard 0/1",
            "choose another --out",
        ],
    );
    let refused = shop.batch("forest", whole, &["--k", "5"]);
    refuse(&refused, &["has another batch: its k is 12, and this one's is 5"]);
    let refused = shop.batch("dlrm", whole, &[]);
    refuse(
        &refused,
        &[
            "has another batch: its bundles.scorer is sha256:",
            "choose another --out, or delete that batch",
        ],
    );
    assert_eq!(files(whole), before);
}

fn a_list_of_users_is_a_part_of_everybody(shop: &Shop, whole: &Path) {
    let all = read(whole);
    let some: Vec<_> = all.iter().step_by(300).cloned().collect();
    let list = shop.folder.path().join("some-users");
    let ids: String = some.iter().map(|list| format!("{}\n", list.user)).collect();
    fs::write(&list, &ids).unwrap();
    let out = shop.folder.path().join("some");
    let users = ["--users", list.to_str().unwrap()];
    succeed(&shop.batch("forest", &out, &users));
    assert_eq!(read(&out), some);

    fs::write(&list, ids + "nobody\n").unwrap();
    let refused = shop.batch("forest", &shop.folder.path().join("none"), &users);
    refuse(
        &refused,
        &[
            "1 of the 5 users in ",
            "are not in the features bundle, among them nobody; remove them",
        ],
    );
    assert!(!shop.folder.path().join("none/batch.json").exists());
}

fn routes_give_every_user_to_one_variant(shop: &Shop, whole: &Path) {
    let routes = shop.folder.path().join("routes.json");
    let text = r#"{"namespace": "fashion", "pipeline": "shop", "control": "dlrm", "variants": [
        {"name": "dlrm", "weight": 3, "service": "d", "buckets": [{"start": 0, "end": 7500}]},
        {"name": "forest", "weight": 1, "service": "f", "buckets": [{"start": 7500, "end": 10000}]}]}"#;
    fs::write(&routes, text).unwrap();
    let own = |scorer: &str| {
        let out = shop.folder.path().join(format!("own-{scorer}"));
        succeed(&shop.batch(scorer, &out, &["--routes", routes.to_str().unwrap()]));
        read(&out)
    };
    let (dlrm, forest) = (own("dlrm"), own("forest"));
    assert_eq!(dlrm.len() + forest.len(), CUSTOMERS);
    assert!(
        dlrm.len() > 2 * forest.len(),
        "{} and {}",
        dlrm.len(),
        forest.len()
    );
    let all = read(whole);
    assert!(forest.iter().all(|list| all.contains(list)));
    assert!(
        dlrm.iter()
            .all(|list| forest.iter().all(|other| other.user != list.user))
    );

    let by_header = text.replace(
        r#""control": "dlrm","#,
        r#""control": "dlrm", "experiment": {"name": "e", "epoch": 1, "revision": "r", "salt": "s", "unitHeader": "x-house",
            "trafficBuckets": 10000, "arms": [{"variant": "dlrm", "weight": 1}], "slowMilliseconds": 9},"#,
    );
    fs::write(&routes, by_header).unwrap();
    let out = shop.folder.path().join("nobody-knows");
    let refused = shop.batch("forest", &out, &["--routes", routes.to_str().unwrap()]);
    refuse(
        &refused,
        &[
            "the header \"x-house\"",
            "name a variant whose lists everybody gets",
        ],
    );
}

fn what_can_not_be_done_is_said_with_the_way_out(shop: &Shop) {
    let out = shop.folder.path().join("nothing");
    let check = |arguments: &[&str], wanted: &str| refuse(&shop.batch("forest", &out, arguments), &[wanted]);
    check(
        &["--variant", "mlp"],
        "variant mlp is not in the manifest, which has forest",
    );
    check(
        &["--submission", "submission.csv", "--k", "5"],
        "--submission needs 12 items, and a list has 5",
    );
    check(&["--k", "1000"], "k is 1000, but this pipeline gives 1 to ");
    check(&["--users", "/nowhere"], "cannot read the list of users /nowhere");
    check(
        &["--device", "cuda"],
        "cannot load variant forest: this program was built without CUDA; run the image gondola-inference-cuda",
    );
}
