//! Redis in other shapes than one server: a cluster, sentinels, and a server that is not ready yet.

use std::time::Duration;

use gondola_feast::{RedisType, StoreSettings};
use gondola_online::redis::Redis;
use gondola_online::redis::connection::Connection;
use gondola_online::{OnlineStore, Seen};
use gondola_request::{Change, ItemId, ItemUpdate, Moment, RawRow, Value};
use redis::FromRedisValue as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::server::{RedisServer, free_port};
use crate::{feast, suite};

const NOW: Moment = Moment(1_764_460_800_000);

/// A server of a cluster, which has some of the slots.
async fn member(slots: (&str, &str)) -> RedisServer {
    let server = RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &free_port()]).await;
    server.run(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]).await;
    server
}

/// Two servers that are one cluster.
async fn cluster() -> [RedisServer; 2] {
    let servers = [member(("0", "8191")).await, member(("8192", "16383")).await];
    let (port, bus) = (servers[1].port.to_string(), servers[1].option("--cluster-port"));
    servers[0]
        .run(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
        .await;
    for server in &servers {
        for _ in 0..200 {
            let said = format!("{:?}", server.run(&["CLUSTER", "INFO"]).await);
            if said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:2") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    servers
}

fn store(settings: StoreSettings) -> Redis {
    Redis::new(Connection::of(settings).unwrap(), "shop/grocery")
}

#[tokio::test]
async fn a_cluster_keeps_every_promise_of_an_online_store() {
    let servers = cluster().await;
    let cluster = store(StoreSettings {
        connection_string: servers[0].address(),
        redis_type: RedisType::RedisCluster,
        ..StoreSettings::default()
    });
    suite::run(&cluster).await;
}

#[tokio::test]
async fn items_of_feast_are_found_on_every_server_of_a_cluster() {
    let servers = cluster().await;
    let cluster = store(StoreSettings {
        connection_string: servers[0].address(),
        redis_type: RedisType::RedisCluster,
        ..StoreSettings::default()
    });
    let cluster = cluster.with_feast_items(feast::articles(), feast::LOOK_EVERY);
    let ids: Vec<String> = (1..=2_500).map(|id| id.to_string()).collect();
    let put = |id: &String| Change::PutItem {
        item: id.as_str().into(),
        update: ItemUpdate {
            features: RawRow::from([("price", Value::Number(1.5))]),
            blocked: false,
        },
    };
    let puts: Vec<Change> = ids.iter().map(put).collect();
    cluster.write(&puts, NOW).await.unwrap();
    for server in &servers {
        let keys = usize::from_redis_value(server.run(&["DBSIZE"]).await).unwrap();
        assert!(keys > 2_000, "more than one step of a scan: {keys}");
    }
    let (mut found, _) = cluster.unannounced(&Seen::default()).await.unwrap();
    found.sort();
    let mut wanted: Vec<ItemId> = ids.iter().map(|id| id.as_str().into()).collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn one_server_of_a_cluster_is_told_apart_from_one_alone() {
    let servers = cluster().await;
    let mut said = Vec::new();
    for server in &servers {
        let outcome = server.store().user(&"anna".into()).await;
        said.extend(outcome.err().map(|error| error.to_string()));
    }
    let [said] = &said[..] else {
        panic!("one of them has the slots of anna: {said:?}");
    };
    assert!(
        said.contains("it is one server of a cluster; set the type of the connection to a cluster"),
        "{said}"
    );
}

#[tokio::test]
async fn sentinels_say_where_the_primary_is() {
    let primary = RedisServer::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sentinel.conf");
    let monitor = format!("sentinel monitor grocery 127.0.0.1 {} 1\n", primary.port);
    std::fs::write(&config, monitor).unwrap();
    let sentinel = RedisServer::sentinel(&config).await;
    let found = store(StoreSettings {
        connection_string: sentinel.address(),
        redis_type: RedisType::RedisSentinel,
        sentinel_master: "grocery".to_owned(),
        ..StoreSettings::default()
    });
    let put = suite::put_user("anna", &[("age", Value::Number(1.0))]);
    found.write(&[put], NOW).await.unwrap();
    assert!(primary.store().user(&"anna".into()).await.unwrap().is_some());
}

/// Answers every command with an error: what a real Redis says for a moment that no test can hold on to.
async fn always(error: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut read = BufReader::new(read);
                while take_command(&mut read).await.is_some() {
                    let sent = write.write_all(format!("-{error}\r\n").as_bytes()).await;
                    if sent.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads one command: an array of texts.
async fn take_command(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<()> {
    let mut line = String::new();
    read.read_line(&mut line).await.ok()?;
    let parts: usize = line.trim().strip_prefix('*')?.parse().ok()?;
    for _ in 0..parts {
        line.clear();
        read.read_line(&mut line).await.ok()?;
        let bytes: usize = line.trim().strip_prefix('$')?.parse().ok()?;
        let mut text = vec![0; bytes + 2];
        read.read_exact(&mut text).await.ok()?;
    }
    Some(())
}

#[tokio::test]
async fn a_redis_that_is_loading_or_has_no_primary_is_waited_for() {
    for (error, wanted) in [
        (
            "LOADING Redis is loading the dataset in memory",
            "it is loading its data; wait until it has",
        ),
        (
            "READONLY You can't write against a read only replica.",
            "it can't be written now (READONLY); wait until it has a primary again",
        ),
        (
            "MISCONF Redis is configured to save RDB snapshots",
            "it can't write its data to disk; look at its log",
        ),
    ] {
        let store = store(StoreSettings {
            connection_string: always(error).await,
            ..StoreSettings::default()
        });
        let put = suite::put_user("anna", &[]);
        let said = store.write(&[put], NOW).await.unwrap_err().to_string();
        assert!(said.ends_with(wanted), "{said}");
    }
}
