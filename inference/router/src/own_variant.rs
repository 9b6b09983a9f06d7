//! Which variant each user gets, for whoever is no router and has to decide as routers do: lists that are made ahead of time.

use gondola_experiments::assignment::{Assignment, AssignmentError};
use gondola_wire::routes::Routes;

use crate::experiment;
use crate::router::{Share, split_by_weight};

/// Which variant each user gets.
#[derive(Debug)]
pub struct OwnVariant(Assignment);

/// Why it can't be said which variant a user gets.
#[derive(Debug, thiserror::Error)]
pub enum OwnVariantError {
    /// The routes decide nothing.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// Requests say who the unit is, and there are none ahead of time.
    #[error(
        "the experiment splits users by the header {header:?} of their requests, so that nobody can say ahead of time which variant they \
         get; name a variant whose lists everybody gets"
    )]
    UnitHeader {
        /// The header.
        header: String,
    },
}

impl OwnVariant {
    /// As the routes say: by the experiment where there is one, else by weight.
    pub fn new(routes: &Routes) -> Result<Self, OwnVariantError> {
        if let Some(experiment) = &routes.experiment {
            if let Some(header) = &experiment.unit_header {
                let header = header.clone();
                return Err(OwnVariantError::UnitHeader { header });
            }
            return Ok(Self(experiment::split(experiment)?));
        }
        let shares = routes.variants.iter().map(|route| Share {
            name: &route.name,
            weight: route.weight,
            buckets: &route.buckets,
        });
        let salt = format!("{}/{}", routes.namespace, routes.pipeline);
        Ok(Self(split_by_weight(&salt, &routes.control, shares.collect())?))
    }

    /// The name of the variant that a user gets.
    pub fn of(&self, user: &str) -> &str {
        &self.0.arms()[self.0.assign(user).arm]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(text: &str) -> Routes {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn buckets_say_who_gets_which_variant() {
        let routes = routes(
            r#"{"namespace": "fashion", "pipeline": "shop", "control": "forest", "variants": [
                {"name": "dlrm", "weight": 1, "service": "d", "buckets": [{"start": 0, "end": 5000}]},
                {"name": "forest", "weight": 1, "service": "f", "buckets": [{"start": 5000, "end": 10000}]}]}"#,
        );
        let own = OwnVariant::new(&routes).unwrap();
        for user in (0..500).map(|user| user.to_string()) {
            let bucket = gondola_experiments::assignment::bucket("arm", "fashion/shop", &user);
            let wanted = if bucket < 5000 { "dlrm" } else { "forest" };
            assert_eq!(own.of(&user), wanted, "user {user} in bucket {bucket}");
        }
    }

    #[test]
    fn an_experiment_goes_before_weights() {
        let text = r#"{"namespace": "n", "pipeline": "p", "control": "a", "variants": [
                {"name": "a", "weight": 0, "service": "a"}, {"name": "b", "weight": 1, "service": "b"}],
            "experiment": {"name": "e", "epoch": 1, "revision": "r", "salt": "s", "trafficBuckets": 0,
                "arms": [{"variant": "a", "weight": 1}, {"variant": "b", "weight": 1}], "slowMilliseconds": 100}}"#;
        // Nobody is enrolled, so that everybody gets the control.
        let own = OwnVariant::new(&routes(text)).unwrap();
        assert!((0..100).all(|user| own.of(&user.to_string()) == "a"));
        let by_header = text.replace(r#""salt": "s","#, r#""salt": "s", "unitHeader": "x-household","#);
        let error = OwnVariant::new(&routes(&by_header)).unwrap_err().to_string();
        assert!(
            error.contains("x-household") && error.contains("name a variant"),
            "{error}"
        );
    }
}
