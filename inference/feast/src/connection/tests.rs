use super::*;

fn settings(connection_string: &str) -> StoreSettings {
    StoreSettings {
        connection_string: connection_string.to_owned(),
        ..StoreSettings::default()
    }
}

fn check(connection_string: &str) -> Result<Connection, ConnectionError> {
    Connection::check(&settings(connection_string))
}

fn server(host: &str, port: u16) -> Server {
    Server {
        host: host.to_owned(),
        port,
    }
}

#[test]
fn a_server_alone_is_enough() {
    let connection = check("localhost:6379").unwrap();
    assert_eq!(
        connection,
        Connection {
            topology: Topology::Single(server("localhost", 6379)),
            tls: None,
            username: None,
            password: None,
            database: 0,
            connect_timeout: None,
            answer_timeout: None,
            key_ttl: None,
        }
    );
}

#[test]
fn options_are_read_as_feast_reads_them() {
    let connection = check(
        "redis.shop:6380,password=s3cr3t=,ssl=true,db=2,username=feast,socket_timeout=0.5,ssl_ca_certs=/etc/ca.pem,ssl_cert_reqs=none,skip_full_coverage_check=true",
    );
    let connection = connection.unwrap();
    assert_eq!(connection.password, Some(Password("s3cr3t=".to_owned())));
    assert_eq!(connection.username.as_deref(), Some("feast"));
    assert_eq!(connection.database, 2);
    assert_eq!(connection.answer_timeout, Some(Duration::from_millis(500)));
    let tls = connection.tls.unwrap();
    assert_eq!(tls.ca_certs, Some(PathBuf::from("/etc/ca.pem")));
    assert!(tls.accepts_any_certificate);
}

#[track_caller]
fn password(written: &str, expected: Option<&str>) {
    let connection = check(&format!("a:1,password={written}")).unwrap();
    assert_eq!(connection.password.as_ref().map(Password::reveal), expected);
}

#[test]
fn passwords_are_json_where_feast_takes_them_for_json() {
    password("plain", Some("plain"));
    password("\"quoted\"", Some("quoted"));
    password("1234", Some("1234"));
    password(
        "-12345678901234567890123456789",
        Some("-12345678901234567890123456789"),
    );
    password("007", Some("007"));
    password("null", None);
    password("", None);
    password("\"\"", None);
}

#[test]
fn what_differs_from_what_is_written_is_refused() {
    for written in ["1e5", "1.50", "true", "[1]", "{}", "-0", "NaN", "-Infinity"] {
        let error = check(&format!("a:1,password={written}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "option password of connection_string must be in double quotes, as Feast takes it for JSON that is not a text"
        );
    }
    for written in ["False", "True", "0", "no"] {
        let error = check(&format!("a:1,ssl={written}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "option ssl of connection_string must be true or false, in lower case: Feast takes every other text for true"
        );
    }
}

#[test]
fn clusters_and_sentinels_have_several_servers() {
    let settings = |redis_type| StoreSettings {
        redis_type,
        key_ttl_seconds: Some(60),
        ..settings("a:1,b:2")
    };
    let servers = vec![server("a", 1), server("b", 2)];
    let cluster = Connection::check(&settings(RedisType::RedisCluster)).unwrap();
    assert_eq!(cluster.topology, Topology::Cluster(servers.clone()));
    assert_eq!(cluster.key_ttl, Some(Duration::from_secs(60)));
    let sentinel = Connection::check(&settings(RedisType::RedisSentinel)).unwrap();
    assert_eq!(
        sentinel.topology,
        Topology::Sentinel {
            sentinels: servers,
            master: "mymaster".to_owned()
        }
    );
    let error = Connection::check(&settings(RedisType::Redis)).unwrap_err();
    assert_eq!(error, ConnectionError::ManyServers { servers: 2 });
    let databases = StoreSettings {
        connection_string: "a:1,db=1".to_owned(),
        redis_type: RedisType::RedisCluster,
        ..StoreSettings::default()
    };
    let error = Connection::check(&databases).unwrap_err();
    assert_eq!(error, ConnectionError::ClusterDatabase { database: 1 });
}

#[test]
fn the_names_of_types_are_those_of_feast() {
    for (name, expected) in [
        ("redis", RedisType::Redis),
        ("redis_cluster", RedisType::RedisCluster),
        ("redis_sentinel", RedisType::RedisSentinel),
    ] {
        assert_eq!(name.parse(), Ok(expected));
        assert_eq!(expected.to_string(), name);
    }
}

#[test]
fn no_part_of_a_password_is_shown_whatever_is_wrong() {
    let written = [
        "a:1,password=hush,hush",
        "a:1,password=hush,hush=1",
        "a:1,password=1e5hush,db=hush",
        "password=hush",
        "a:1,password={\"hush\":1}",
        "a:1,password=hush,ssl=hush",
        "hush:hush@a:1",
    ];
    for written in written {
        let settings = settings(written);
        let error = Connection::check(&settings).unwrap_err();
        let shown = format!("{error} {error:?} {settings:?}");
        assert!(!shown.contains("hush"), "{shown}");
    }
    let connection = check("a:1,password=hush").unwrap();
    assert!(!format!("{connection:?} {connection:#?}").contains("hush"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_connection_or_refused(text in "[a-z:,=\"0-9é]{0,60}") {
        let _ = check(&text);
    }
}
