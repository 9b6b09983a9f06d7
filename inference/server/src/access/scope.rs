//! What a request needs, by its path: the one table of who may send what, for HTTP and gRPC.

use std::fmt;
use std::str::FromStr;

use crate::openapi;
use gondola_wire::router_report::REPORT_PATH;
use strum::{EnumIter, IntoEnumIterator as _, IntoStaticStr};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, EnumIter)]
#[strum(serialize_all = "lowercase")]
pub enum Scope {
    /// Ask for recommendations and similar items, and what is loaded.
    Read,
    /// Change users and items.
    Write,
    /// Report what units of an experiment did.
    Outcomes,
}

impl Scope {
    /// Its name in Secrets and, after `gondola:`, in tokens.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::iter().find(|scope| scope.as_str() == text).ok_or(())
    }
}

/// Several of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(u8);

impl Scopes {
    pub(crate) fn with(self, scope: Scope) -> Self {
        Self(self.0 | 1 << scope as u8)
    }

    pub(crate) fn has(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Scope::iter()
            .filter(|scope| self.has(*scope))
            .map(Scope::as_str)
            .collect();
        formatter.write_str(&names.join(" and "))
    }
}

/// What a request must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: probes, scrapers and the pipeline's own analyzer have no keys. A router has these on its admin port alone.
    Nothing,
    /// The scope.
    Scope(Scope),
}

/// Every path; one that ends with `*` is all that begin like it. `tests` holds it against the routes and the gRPC services.
const NEEDS: [(&str, Need); 33] = [
    ("/v1/recommend", Need::Scope(Scope::Read)),
    ("/v1/similar", Need::Scope(Scope::Read)),
    ("/v1/explain", Need::Scope(Scope::Read)),
    ("/v1/pipeline", Need::Scope(Scope::Read)),
    ("/v1/users/*", Need::Scope(Scope::Write)),
    ("/v1/items/*", Need::Scope(Scope::Write)),
    ("/v1/items:batch", Need::Scope(Scope::Write)),
    ("/v1/interactions", Need::Scope(Scope::Write)),
    ("/v1/rules", Need::Scope(Scope::Write)),
    ("/v1/outcomes", Need::Scope(Scope::Outcomes)),
    (REPORT_PATH, Need::Nothing),
    (openapi::PATH, Need::Nothing),
    ("/healthz", Need::Nothing),
    ("/readyz", Need::Nothing),
    ("/metrics", Need::Nothing),
    ("/gondola.v1.Recommender/Recommend", Need::Scope(Scope::Read)),
    ("/gondola.v1.Recommender/Similar", Need::Scope(Scope::Read)),
    ("/gondola.v1.Recommender/Explain", Need::Scope(Scope::Read)),
    ("/gondola.v1.Recommender/GetPipeline", Need::Scope(Scope::Read)),
    ("/gondola.v1.Recommender/PutUser", Need::Scope(Scope::Write)),
    ("/gondola.v1.Recommender/PutItem", Need::Scope(Scope::Write)),
    ("/gondola.v1.Recommender/ApplyChanges", Need::Scope(Scope::Write)),
    ("/gondola.v1.Recommender/GetRules", Need::Scope(Scope::Write)),
    (
        "/gondola.v1.Recommender/RecordOutcomes",
        Need::Scope(Scope::Outcomes),
    ),
    ("/v2", Need::Scope(Scope::Read)),
    ("/v2/health/*", Need::Nothing),
    ("/v2/*", Need::Scope(Scope::Read)),
    ("/inference.GRPCInferenceService/ServerLive", Need::Nothing),
    ("/inference.GRPCInferenceService/ServerReady", Need::Nothing),
    ("/inference.GRPCInferenceService/*", Need::Scope(Scope::Read)),
    ("/grpc.health.v1.Health/*", Need::Nothing),
    ("/grpc.reflection.v1.ServerReflection/*", Need::Scope(Scope::Read)),
    // What nobody wrote down needs most.
    ("/*", Need::Scope(Scope::Write)),
];

/// What a request for `path` needs.
pub(crate) fn need(path: &str) -> Need {
    listed(path).map_or(Need::Scope(Scope::Write), |(_, need)| need)
}

fn listed(path: &str) -> Option<(&'static str, Need)> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == pattern,
    };
    NEEDS.into_iter().find(|(pattern, _)| fits(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether somebody wrote down what the path needs.
    fn is_listed(path: &str) -> bool {
        listed(path).is_some_and(|(pattern, _)| pattern != "/*")
    }

    #[test]
    fn every_route_and_every_method_is_on_the_table() {
        let sources = [
            include_str!("../http.rs"),
            include_str!("../http/changes.rs"),
            include_str!("../open_inference/http.rs"),
        ];
        let routes = sources
            .into_iter()
            .flat_map(|source| source.split(".route(").skip(1));
        let routes: Vec<&str> = routes
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .collect();
        assert!(routes.len() > 7, "{routes:?}");
        for route in routes {
            assert!(
                is_listed(&route.replace("{id}", "anna")),
                "{route} is not in NEEDS"
            );
        }
        assert!(is_listed(REPORT_PATH) && is_listed(openapi::PATH));
        let definition = include_str!("../../../protocol/proto/gondola/v1/recommender.proto");
        let methods: Vec<&str> = definition
            .split("\n  rpc ")
            .skip(1)
            .filter_map(|rest| rest.split('(').next())
            .collect();
        assert!(methods.len() > 5, "{methods:?}");
        for method in methods {
            let path = format!("/{}/{method}", gondola_protocol::proto::SERVICE);
            assert!(is_listed(&path), "{path} is not in NEEDS");
        }
    }

    #[test]
    fn what_nobody_wrote_down_needs_most() {
        for path in [
            "/",
            "/v3/recommend",
            "/v1/recommend/",
            "/V1/recommend",
            "//v1/recommend",
        ] {
            assert_eq!(need(path), Need::Scope(Scope::Write), "{path}");
        }
    }

    #[test]
    fn scopes_are_told_apart() {
        let some = Scopes::default().with(Scope::Read).with(Scope::Outcomes);
        assert!(some.has(Scope::Read) && some.has(Scope::Outcomes) && !some.has(Scope::Write));
        assert_eq!(some.to_string(), "read and outcomes");
        assert_eq!("write".parse(), Ok(Scope::Write));
        assert_eq!("gondola:write".parse::<Scope>(), Err(()));
    }
}
