//! How a bundle is named: `name@channel` follows a channel, `name/version` stays at one version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The folder of a bundle's channels, so no version can have this name.
pub(crate) const CHANNELS: &str = "channels";

/// Names a bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    name: String,
    target: Target,
}

/// Which version of a bundle is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The version that this channel points to.
    Channel(String),
    /// This version.
    Version(String),
}

/// Why a text names no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Neither `@` nor `/`.
    #[error(
        "{text:?} names no version of a bundle; write name@channel, for example {text}@stable, or name/version"
    )]
    NoTarget {
        /// What was given.
        text: String,
    },
    /// The name has characters that a bundle's name can't have.
    #[error(
        "{name:?} is not a valid bundle name; use 1 to 63 lower case letters, digits, '-' and '.', with a letter or digit at both ends"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// The channel or version has characters that it can't have.
    #[error(
        "{target:?} is not a valid {what}; use 1 to 128 letters, digits, '.', '_' and '-', with a letter or digit at both ends"
    )]
    Target {
        /// `channel` or `version`.
        what: &'static str,
        /// What was given.
        target: String,
    },
    /// `name/channels` is where the channels are.
    #[error(
        "{name}/channels is where the channels of {name} are stored; write {name}@channel or {name}/version"
    )]
    ChannelsFolder {
        /// The bundle.
        name: String,
    },
}

impl Reference {
    /// The version that `channel` points to.
    pub fn channel(name: &str, channel: &str) -> Result<Self, ReferenceError> {
        check_name(name)?;
        check_target("channel", channel)?;
        Ok(Self {
            name: name.to_owned(),
            target: Target::Channel(channel.to_owned()),
        })
    }

    /// One version, for ever.
    pub fn version(name: &str, version: &str) -> Result<Self, ReferenceError> {
        check_name(name)?;
        if version == CHANNELS {
            return Err(ReferenceError::ChannelsFolder {
                name: name.to_owned(),
            });
        }
        check_target("version", version)?;
        Ok(Self {
            name: name.to_owned(),
            target: Target::Version(version.to_owned()),
        })
    }

    /// The bundle's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which version of it.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), ReferenceError> {
    let inner = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let end = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    if well_formed(name, 63, inner, end) {
        Ok(())
    } else {
        Err(ReferenceError::Name { name: clip(name) })
    }
}

fn check_target(what: &'static str, target: &str) -> Result<(), ReferenceError> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if well_formed(target, 128, inner, |b| b.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(ReferenceError::Target {
            what,
            target: clip(target),
        })
    }
}

fn well_formed(text: &str, longest: usize, inner: impl Fn(u8) -> bool, end: impl Fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        bytes => {
            bytes.len() <= longest
                && bytes.iter().all(|&b| inner(b))
                && end(bytes[0])
                && end(bytes[bytes.len() - 1])
        }
    }
}

/// So that a message stays readable whatever was given.
fn clip(text: &str) -> String {
    text.chars().take(150).collect()
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let at = text
            .find(['@', '/'])
            .ok_or_else(|| ReferenceError::NoTarget { text: clip(text) })?;
        let (name, target) = (&text[..at], &text[at + 1..]);
        if text.as_bytes()[at] == b'@' {
            Self::channel(name, target)
        } else {
            Self::version(name, target)
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Channel(channel) => write!(f, "{}@{channel}", self.name),
            Target::Version(version) => write!(f, "{}/{version}", self.name),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refuses(text: &str, message: &str) {
        assert_eq!(text.parse::<Reference>().unwrap_err().to_string(), message);
    }

    #[test]
    fn a_reference_follows_a_channel_or_stays_at_a_version() {
        let follows: Reference = "two-tower@stable".parse().unwrap();
        assert_eq!(
            (follows.name(), follows.target()),
            ("two-tower", &Target::Channel("stable".into()))
        );
        let stays: Reference = "two-tower/0a1b2c".parse().unwrap();
        assert_eq!(
            (stays.name(), stays.target()),
            ("two-tower", &Target::Version("0a1b2c".into()))
        );
    }

    #[test]
    fn what_names_no_bundle_is_refused_with_the_way_out() {
        refuses(
            "dlrm",
            "\"dlrm\" names no version of a bundle; write name@channel, for example dlrm@stable, or name/version",
        );
        refuses(
            "DLRM@stable",
            "\"DLRM\" is not a valid bundle name; use 1 to 63 lower case letters, digits, '-' and '.', with a letter or digit at both ends",
        );
        refuses(
            "dlrm@",
            "\"\" is not a valid channel; use 1 to 128 letters, digits, '.', '_' and '-', with a letter or digit at both ends",
        );
        refuses(
            "dlrm/../secrets",
            "\"../secrets\" is not a valid version; use 1 to 128 letters, digits, '.', '_' and '-', with a letter or digit at both ends",
        );
        refuses(
            "dlrm/channels",
            "dlrm/channels is where the channels of dlrm are stored; write dlrm@channel or dlrm/version",
        );
    }

    proptest! {
        #[test]
        fn a_reference_is_read_as_it_is_written(text in "[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?[@/][A-Za-z0-9]([A-Za-z0-9._-]{0,9}[A-Za-z0-9])?") {
            prop_assume!(!text.ends_with("/channels"));
            prop_assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = text.parse::<Reference>();
        }
    }
}
