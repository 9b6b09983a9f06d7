//! How a configuration is read: its file, then the bounds of what it says.

use std::fs;
use std::path::Path;

use super::bounds;
use super::config::{ConfigError, DatasetConfig};

impl DatasetConfig {
    /// Reads a configuration and checks what can be checked without the data.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let yaml = fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        let config: Self = serde_saphyr::from_str(&yaml).map_err(|source| ConfigError::Yaml {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        bounds::check(&config)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_without_candidates_is_refused_by_name() {
        let example = include_str!("../../../examples/complete-journey/dataset.yaml");
        let none = example.replace(
            "two_tower: 200, bought_before: 100",
            "two_tower: 0, bought_before: 0",
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), none).unwrap();
        let message = DatasetConfig::read(file.path()).unwrap_err().to_string();
        assert!(message.contains("evaluation.candidates is 0"), "{message}");
    }
}
