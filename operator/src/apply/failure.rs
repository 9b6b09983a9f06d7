//! Why an object could not be brought about, and whether time can heal it.

/// Why an object could not be brought about.
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
    /// The API server says that it can't be.
    #[error("the API server refuses {kind} {name}: {message}")]
    Refused {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// The operator may not.
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
    /// What the caches know is not what is there.
    #[error(
        "{kind} {name} has changed since it was last seen; the pass is retried once the change has arrived"
    )]
    Outdated {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It failed, and may go well the next time.
    #[error("{kind} {name} could not be written")]
    Unavailable {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Failure {
    pub(super) fn new(kind: String, name: String, error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::Unavailable {
                kind,
                name,
                source: Box::new(error),
            };
        };
        let message = status.message.clone();
        // Admission answers with the codes of rights and of schemas, and tells itself by its words alone.
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
