//! Why an object could not be applied, and whether a retry can help.

/// Why an object could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Somebody else has the name.
    #[error("{kind} {name} is there already and is not of this pipeline; delete or rename one of them")]
    NameConflict {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server rejects it as invalid.
    #[error("the API server refuses {kind} {name}: {message}")]
    Refused {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// The operator lacks the right.
    #[error("the operator may not write {kind} {name}: {message}; grant it what the chart grants")]
    Forbidden {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// A webhook or a policy of the cluster denies it.
    #[error("{kind} {name} is denied by the cluster's admission: {message}")]
    Denied {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// What it says.
        message: String,
    },
    /// The namespace's quota is used up.
    #[error("{kind} {name} does not fit into the namespace's quota: {message}")]
    QuotaExceeded {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// The caches are out of date.
    #[error(
        "{kind} {name} has changed since it was last seen; the pass is retried once the change has arrived"
    )]
    Outdated {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It failed, and may succeed next time.
    #[error("{kind} {name} could not be written")]
    Unavailable {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Failure {
    pub(crate) fn new(kind: String, name: String, error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::Unavailable {
                kind,
                name,
                source: Box::new(error),
            };
        };
        let message = status.message.clone();
        // Admission answers with the codes of missing rights and invalid objects, and can be recognized only by its
        // message.
        if message.contains("denied the request") || message.contains("denied request") {
            return Self::Denied { kind, name, message };
        }
        match status.code {
            403 if message.contains("exceeded quota") => Self::QuotaExceeded { kind, name, message },
            // Rights are refused with the verb that is missing; all else is admission's.
            403 if message.contains(" cannot ") => Self::Forbidden { kind, name, message },
            403 => Self::Denied { kind, name, message },
            409 => Self::Outdated { kind, name },
            // The same request fails the same way again.
            400 | 422 => Self::Refused { kind, name, message },
            _ => Self::Unavailable {
                kind,
                name,
                source: Box::new(error),
            },
        }
    }
}
