//! The shop as browsers meet it, with something that answers where a pipeline would.

use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::patch;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use url::Url;

use super::*;
use crate::catalogue::tests::sample;

/// What a pipeline would have been asked and told.
#[derive(Default)]
struct Heard {
    arms: Mutex<Vec<Option<String>>>,
    interactions: Mutex<Vec<Value>>,
    set: Mutex<Vec<Value>>,
}

impl Heard {
    /// Kinds and items of what it was told.
    fn told(&self) -> Vec<String> {
        let interactions = self.interactions.lock().unwrap();
        let told = interactions.iter();
        told.map(|one| {
            format!(
                "{} {}",
                one["type"].as_str().unwrap(),
                one["item"].as_str().unwrap()
            )
        })
        .collect()
    }
}

async fn recommend(State(heard): State<Arc<Heard>>, headers: HeaderMap) -> impl IntoResponse {
    let arm = headers
        .get("x-gondola-arm")
        .map(|arm| arm.to_str().unwrap().to_owned());
    heard.arms.lock().unwrap().push(arm);
    let answer = json!({"variant": "dlrm", "items": [{"item": "7", "score": 0.5}], "timing": {"scoring": 9}});
    ([("x-request-id", "r-7")], Json(answer))
}

async fn interact(State(heard): State<Arc<Heard>>, Json(body): Json<Value>) -> Json<Value> {
    let interactions = body["interactions"].as_array().unwrap().clone();
    heard.interactions.lock().unwrap().extend(interactions);
    Json(json!({"taken": 1, "duplicates": 0, "refused": []}))
}

async fn explain(Json(body): Json<Value>) -> Json<Value> {
    let items = body["items"].as_array().unwrap().iter();
    let explained =
        items.map(|item| json!({"item": item, "fate": "shown", "sources": [], "score": 0.5, "rank": 1}));
    Json(json!({"variant": "dlrm", "items": explained.collect::<Vec<_>>()}))
}

async fn set(State(heard): State<Arc<Heard>>, Json(body): Json<Value>) -> Response {
    let column = body["features"].as_object().unwrap().keys().next().unwrap();
    if column == "shoe" {
        let refusal = json!({"error": {"code": "INVALID_ARGUMENT", "message": "there is no user feature"}});
        return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
    }
    heard.set.lock().unwrap().push(body["features"].clone());
    StatusCode::NO_CONTENT.into_response()
}

/// A shop of one product and one customer, beside what its pipeline hears.
async fn shop() -> (Router, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let pipeline = Router::new()
        .route("/v1/recommend", get(recommend))
        .route("/v1/similar", get(recommend))
        .route("/v1/interactions", post(interact))
        .route("/v1/explain", post(explain))
        .route("/v1/users/{id}", patch(set))
        .with_state(Arc::clone(&heard));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, pipeline).await });
    (of(&format!("http://{address}")), heard)
}

fn of(pipeline: &str) -> Router {
    let pipeline = Url::parse(pipeline).unwrap();
    routes(Arc::new(Shop {
        catalogue: Catalogue::of([sample("7")]),
        customers: Customers::of(&[1]),
        sessions: Sessions::default(),
        pipeline: Pipeline::new(pipeline.clone(), pipeline, Duration::from_secs(10)),
    }))
}

/// A browser that keeps its cookie.
struct Browser {
    shop: Router,
    cookie: String,
}

struct Page {
    status: StatusCode,
    to: String,
    text: String,
}

impl Browser {
    async fn logged_in(shop: Router) -> Self {
        let mut browser = Self {
            shop,
            cookie: String::new(),
        };
        let page = browser.post("/login", "customer=1").await;
        assert_eq!((page.status, &*page.to), (StatusCode::SEE_OTHER, "/"));
        browser
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path), Body::empty()).await
    }

    async fn post(&mut self, path: &str, form: &'static str) -> Page {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(form)).await
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: Body) -> Page {
        let request = request.header(header::COOKIE, &self.cookie).body(body).unwrap();
        let (head, body) = self.shop.clone().oneshot(request).await.unwrap().into_parts();
        let header = |name| {
            head.headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        if let Some(cookie) = header(header::SET_COOKIE) {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        assert_eq!(header(header::CONTENT_SECURITY_POLICY).as_deref(), Some(POLICY));
        Page {
            status: head.status,
            to: header(header::LOCATION).unwrap_or_default(),
            text: String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap(),
        }
    }
}

#[tokio::test]
async fn what_is_known_of_a_customer_can_be_set_and_a_refusal_is_told() {
    let (shop, heard) = shop().await;
    let mut browser = Browser::logged_in(shop).await;
    for form in [
        "column=age&value=45&back=/",
        "column=home_store&value=31x",
        "column=age&value=",
    ] {
        let page = browser.post("/column", form).await;
        assert_eq!((page.status, &*page.to), (StatusCode::SEE_OTHER, "/"));
    }
    let wanted = [
        json!({"age": 45.0}),
        json!({"home_store": "31x"}),
        json!({"age": null}),
    ];
    assert_eq!(*heard.set.lock().unwrap(), wanted);
    browser.post("/column", "column=shoe&value=7").await;
    let home = browser.get("/").await.text;
    assert!(
        home.contains("shoe was not set: there is no user feature"),
        "{home}"
    );
    assert!(home.contains("Why these") && home.contains("0.5000"), "{home}");
}

#[tokio::test]
async fn a_visit_from_the_door_to_the_purchase_is_told_step_by_step() {
    let (shop, heard) = shop().await;
    let mut browser = Browser::logged_in(shop).await;
    let home = browser.get("/").await;
    assert!(
        home.text.contains("href=\"/product/7?request=r-7\""),
        "{}",
        home.text
    );
    assert!(!home.text.contains("Because you bought"));
    browser.get("/product/7?request=r-7").await;
    browser.get("/product/7?request=r-7").await;
    let added = browser
        .post("/basket/add", "item=7&request=r-7&back=%2Fproduct%2F7")
        .await;
    assert_eq!(added.to, "/product/7");
    browser.post("/basket/set", "item=7&quantity=3").await;
    let basket = browser.get("/basket").await;
    assert!(basket.text.contains("<strong>$8.97</strong>"), "{}", basket.text);
    browser.post("/checkout", "").await;
    browser.post("/checkout", "").await;
    let home = browser.get("/").await;
    assert!(
        home.text.contains("Thank you. You bought for $8.97."),
        "{}",
        home.text
    );
    assert!(
        home.text.contains("Because you bought Tea &amp;"),
        "{}",
        home.text
    );
    browser.post("/dislike", "item=7&back=%2F").await;
    assert_eq!(heard.told(), ["click 7", "basket 7", "purchase 7", "dislike 7"]);
    let told = heard.interactions.lock().unwrap();
    assert_eq!(
        (&told[2]["price"], &told[2]["request_id"]),
        (&json!(8.97), &json!("r-7"))
    );
}

#[tokio::test]
async fn a_chosen_arm_goes_with_every_question_until_it_is_given_back() {
    let (shop, heard) = shop().await;
    let mut browser = Browser::logged_in(shop).await;
    let chosen = browser
        .post("/arm", "arm=forest&back=%2F%2Felsewhere.example")
        .await;
    assert_eq!(chosen.to, "/");
    browser.get("/product/7").await;
    browser.post("/arm", "arm=&back=%2Fbasket").await;
    browser.get("/product/7").await;
    let arms = heard.arms.lock().unwrap();
    let forest = || Some("forest".to_owned());
    assert_eq!(
        *arms,
        [forest(), forest(), None, None],
        "similar products, and those bought together"
    );
}

#[tokio::test]
async fn a_shop_whose_pipeline_is_away_still_sells() {
    // Nobody listens on a port that was closed again.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut browser = Browser::logged_in(of(&format!("http://{address}"))).await;
    let home = browser.get("/").await;
    assert_eq!(home.status, StatusCode::OK);
    assert!(home.text.contains("cannot reach the pipeline"), "{}", home.text);
    browser.post("/basket/add", "item=7&back=%2F").await;
    browser.post("/checkout", "").await;
    let home = browser.get("/").await;
    assert!(
        home.text.contains("Thank you. You bought for $2.99."),
        "{}",
        home.text
    );
    assert!(
        home.text.contains("not taken: cannot reach the pipeline"),
        "{}",
        home.text
    );
}

#[tokio::test]
async fn who_is_not_logged_in_is_at_the_door() {
    let mut browser = Browser {
        shop: of("http://127.0.0.1:1"),
        cookie: "gondola-shop=mine.1".to_owned(),
    };
    for path in ["/", "/search?text=tea", "/product/7", "/basket"] {
        let page = browser.get(path).await;
        assert_eq!(
            (page.status, &*page.to),
            (StatusCode::SEE_OTHER, "/login"),
            "{path}"
        );
    }
    assert_eq!(browser.post("/checkout", "").await.to, "/login");
    let refused = browser.post("/login", "customer=2").await;
    assert_eq!(
        (&*refused.to, &*browser.cookie),
        ("/login", "gondola-shop=mine.1")
    );
    let door = browser.get("/login?id=1").await;
    assert!(door.text.contains("Household 1"), "{}", door.text);
}

#[tokio::test]
async fn what_the_shop_does_not_have_is_not_found() {
    let mut browser = Browser::logged_in(of("http://127.0.0.1:1")).await;
    for path in ["/product/8", "/elsewhere"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(browser.get("/style.css").await.text, *STYLE);
}
