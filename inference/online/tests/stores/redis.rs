//! The store in a real Redis, and Redis at its worst.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gondola_online::{News, NotKnown, OnlineStore, OnlineUsers, Position, UserSettings, Written};
use gondola_request::{Change, Moment, UserId, Value};

use crate::server::RedisServer;
use crate::suite;

const NOW: Moment = Moment(1_764_460_800_000);

fn put(user: &str) -> Change {
    suite::put_user(user, &[("age", Value::Number(1.0))])
}

#[tokio::test]
async fn redis_keeps_every_promise_of_an_online_store() {
    let server = RedisServer::start(&[]).await;
    suite::run(&server.store()).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_redis_was_killed_and_news_go_on() {
    let mut server = RedisServer::start(&[]).await;
    let store = server.store();
    let mut position = store.position().await.unwrap();
    store.write(&[put("anna")], NOW).await.unwrap();
    server.kill();
    let error = store.user(&"anna".into()).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!(
            "the online store at {} does not answer",
            server.address()
        )),
        "{error}"
    );
    assert!(store.write(&[put("berta")], NOW).await.is_err());
    server.restart().await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(store.user(&"anna".into()).await.unwrap().is_some());
    store.write(&[put("carla")], NOW).await.unwrap();
    let (users, _) = suite::all_news(&store, &mut position).await;
    assert_eq!(users, [UserId::from("anna"), UserId::from("carla")]);
}

#[tokio::test]
async fn a_redis_that_lost_its_data_says_that_news_are_lost() {
    let server = RedisServer::start(&[]).await;
    let store = server.store();
    store.write(&[put("anna")], NOW).await.unwrap();
    let mut position = store.position().await.unwrap();
    server.run(&["FLUSHALL"]).await;
    // A new connection is what makes it look.
    server.run(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        match store.news(&mut position).await {
            Ok(News::Lost) => return,
            other => seen.push(format!("{other:?}")),
        }
    }
    panic!("{seen:?}");
}

#[tokio::test]
async fn a_password_that_is_wrong_is_named_and_one_that_changed_is_read_again() {
    let server = RedisServer::start(&["--requirepass", "first"]).await;
    let error = server
        .store()
        .write(&[put("anna")], NOW)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("NOAUTH") && error.contains("correct the Secret"),
        "{error}"
    );
    let wrong = server.store_of(&format!("{},password=guess", server.address()));
    let error = wrong.user(&"anna".into()).await.unwrap_err().to_string();
    assert!(error.contains("WRONGPASS") && !error.contains("guess"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let secret = |password: &str| {
        let text = format!("{},password={password}\n", server.address());
        std::fs::write(folder.path().join("connection_string"), text).unwrap();
    };
    secret("first");
    let connection =
        gondola_online::redis::connection::Connection::in_folder(folder.path(), Default::default());
    let store = gondola_online::redis::Redis::new(connection.unwrap(), "shop/grocery");
    store.write(&[put("anna")], NOW).await.unwrap();
    let admin = redis::Client::open(format!("redis://:first@{}", server.address())).unwrap();
    let mut admin = admin.get_multiplexed_async_connection().await.unwrap();
    let run = async |admin: &mut redis::aio::MultiplexedConnection, command: &[&str]| {
        let mut run = redis::cmd(command[0]);
        run.arg(&command[1..]);
        let _: redis::RedisResult<redis::Value> = run.query_async(admin).await;
    };
    run(&mut admin, &["CONFIG", "SET", "requirepass", "second"]).await;
    secret("second");
    run(&mut admin, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    let mut last = None;
    for _ in 0..20 {
        match store.user(&"anna".into()).await {
            Ok(user) => {
                assert!(user.is_some());
                return;
            }
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{last:?}");
}

#[tokio::test]
async fn a_key_of_another_type_and_a_full_memory_are_refused_with_the_way_out() {
    let server = RedisServer::start(&[]).await;
    let store = server.store();
    server
        .run(&["SET", "gondola:shop/grocery:user:{anna}", "something"])
        .await;
    let error = store.user(&"anna".into()).await.unwrap_err().to_string();
    assert!(
        error.contains("gondola:shop/grocery:user:{anna} is of another type")
            && error.contains("database of its own"),
        "{error}"
    );
    let outcome = store
        .write(
            &[
                suite::interaction("anna", "e1", "milk", None),
                put("berta"),
                put("anna"),
            ],
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(
        outcome.written[..2],
        [Written::Taken, Written::Taken],
        "others' keys are as they were"
    );
    assert!(matches!(&outcome.written[2], Written::Refused { problem } if problem.contains("another type")));

    server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = store.write(&[put("carla")], NOW).await.unwrap_err().to_string();
    assert!(
        error.contains("out of memory") && error.contains("raise its maxmemory"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_redis_that_says_nothing() {
    let server = RedisServer::start(&[]).await;
    let store: Arc<dyn OnlineStore> = Arc::new(server.store());
    store.write(&[put("anna")], NOW).await.unwrap();
    let users = OnlineUsers::new(Arc::clone(&store), UserSettings::default());
    assert!(users.user(&"anna".into()).await.unwrap().state.is_some());
    server.run(&["CLIENT", "PAUSE", "3000", "ALL"]).await;
    let cached = users.user(&"anna".into()).await.unwrap();
    assert!(
        cached.state.is_some() && cached.cached,
        "what is cached needs no store"
    );
    let mut late = 0;
    for number in 0..50 {
        let started = Instant::now();
        let error = users
            .user(&UserId::from(format!("user-{number}")))
            .await
            .unwrap_err();
        assert!(
            started.elapsed() < Duration::from_millis(100),
            "{:?}",
            started.elapsed()
        );
        match error {
            NotKnown::Late(_) => late += 1,
            NotKnown::Resting => {}
            other => panic!("{other}"),
        }
    }
    assert!(
        (5..=7).contains(&late),
        "after five failures the store rests: {late}"
    );
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(
        users.user(&UserId::from("user-1")).await.is_ok(),
        "one asks again after the rest"
    );
    let _ = Position::default();
}
