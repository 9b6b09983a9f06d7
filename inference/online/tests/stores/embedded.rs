//! The store in a file.

use gondola_online::OnlineStore;
use gondola_online::embedded::Embedded;
use gondola_request::{Moment, Value};

use crate::suite;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_every_promise_of_an_online_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(&folder.path().join("online.redb")).unwrap();
    suite::run(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("online.redb");
    let put = suite::put_user("anna", &[("age", Value::Number(1.0))]);
    {
        let store = Embedded::open(&path).unwrap();
        store.write(&[put], Moment(1)).await.unwrap();
    }
    // The thread of the first one may still be closing the file.
    let mut opened = Embedded::open(&path);
    for _ in 0..100 {
        if opened.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        opened = Embedded::open(&path);
    }
    let user = opened.unwrap().user(&"anna".into()).await.unwrap().unwrap();
    assert_eq!(user.row.unwrap().columns.get("age"), &Value::Number(1.0));
}

#[tokio::test]
async fn a_file_that_is_open_already_and_one_that_is_none_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("online.redb");
    let _open = Embedded::open(&path).unwrap();
    let error = Embedded::open(&path).err().unwrap().to_string();
    assert!(
        error.contains("online.redb") && error.contains("another process has it open"),
        "{error}"
    );
    let other = folder.path().join("other");
    std::fs::write(&other, "something else entirely, and long enough to be looked at").unwrap();
    let error = Embedded::open(&other).err().unwrap().to_string();
    assert!(
        error.contains("name a file that this program may write"),
        "{error}"
    );
}
