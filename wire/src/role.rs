//! What a bundle is to a variant: its role, which names it in answers, orders and the status.

use std::fmt;
use std::str::FromStr;

/// What a bundle is to a variant, in the order in which a request meets them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Raw features and their workflow.
    Features,
    /// Two towers and an index.
    Retrieval,
    /// A trained source of candidates, by the name that the spec gives it.
    Source(String),
    /// The scorer.
    Scorer,
    /// Text embeddings of items.
    Similarity,
}

/// What a source's role begins with.
const SOURCE: &str = "source/";

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Features => f.write_str("features"),
            Self::Retrieval => f.write_str("retrieval"),
            Self::Source(name) => write!(f, "{SOURCE}{name}"),
            Self::Scorer => f.write_str("scorer"),
            Self::Similarity => f.write_str("similarity"),
        }
    }
}

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role of a bundle; there are features, retrieval, source/NAME, scorer and similarity")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Ok(match word {
            "features" => Self::Features,
            "retrieval" => Self::Retrieval,
            "scorer" => Self::Scorer,
            "similarity" => Self::Similarity,
            _ => match word.strip_prefix(SOURCE) {
                Some(name) if !name.is_empty() => Self::Source(name.to_owned()),
                _ => return Err(UnknownRole(word.to_owned())),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_written() {
        let roles = [
            Role::Features,
            Role::Retrieval,
            Role::Source("ease".into()),
            Role::Scorer,
            Role::Similarity,
        ];
        assert!(roles.is_sorted());
        for role in roles {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("source/".parse::<Role>().is_err());
        let unknown = "tower".parse::<Role>().unwrap_err().to_string();
        assert!(unknown.contains("source/NAME"), "{unknown}");
    }
}
