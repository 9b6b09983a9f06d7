//! What a cluster says of a query that failed, in one plain line.

/// What layers write before the cause.
const LAYERS: [&str; 6] = [
    "Execution error: ",
    "DataFusion error: ",
    "External error: ",
    "Object Store error: ",
    "IO error: ",
    "General error: ",
];
/// What a connection to the scheduler says that ends in the middle.
const LOST: [&str; 4] = [
    "h2 protocol error",
    "transport error",
    "tcp connect error",
    "Stream closed without job completing",
];

/// What stands in the way of a plan with very many joins.
const DEEP: &str = "RecursionLimitReached";

/// The cause alone, without the names of layers and jobs.
pub(crate) fn plain(error: &str) -> String {
    let mut cause = error;
    let mut of_a_job = false;
    loop {
        let without = LAYERS.iter().find_map(|layer| cause.strip_prefix(layer));
        cause = match (without, job(cause)) {
            (Some(cause), _) => cause,
            (None, Some(cause)) => {
                of_a_job = true;
                cause
            }
            (None, None) => break,
        };
    }
    // Executors lose connections among themselves as well, and the scheduler tells of them as of a job's failure.
    if cause.contains(DEEP) {
        return "the query is deeper than Ballista reads; take columns out of features.user_attributes, or run with --engine local"
            .to_owned();
    }
    if !of_a_job && LOST.iter().any(|sign| cause.contains(sign)) {
        return "the connection to the scheduler was lost; start a scheduler again and then this run, which goes on where it stopped"
            .to_owned();
    }
    cause.to_owned()
}

/// What stands after `Job 123 failed: ` or `Error planning job 123: `.
fn job(cause: &str) -> Option<&str> {
    let rest = cause
        .strip_prefix("Job ")
        .or_else(|| cause.strip_prefix("Error planning job "))?;
    let (name, cause) = rest.split_once(": ")?;
    let name = name.strip_suffix(" failed").unwrap_or(name);
    (!name.contains(' ')).then_some(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_stands_alone() {
        assert_eq!(
            plain(
                "Execution error: Job 03X failed: DataFusion error: External error: set AWS_ALLOW_HTTP to true"
            ),
            "set AWS_ALLOW_HTTP to true"
        );
        assert_eq!(
            plain("Execution error: Job 03X failed: Error planning job 03X: no table"),
            "no table"
        );
        assert_eq!(plain("Schema error: no field: a"), "Schema error: no field: a");
        assert_eq!(plain("Job was cut: short"), "Job was cut: short");
    }

    #[test]
    fn a_query_that_is_too_deep_is_named_with_the_way_out() {
        let deep =
            plain("Status { message: \"DecodeError { description: RecursionLimitReached, stack: [..] }\" }");
        assert!(deep.contains("features.user_attributes"), "{deep}");
    }

    #[test]
    fn a_scheduler_that_is_gone_is_no_matter_of_protocols() {
        let lost = plain(
            "Execution error: code: 'Unknown error', message: \"h2 protocol error: error reading a body\"",
        );
        assert!(
            lost.starts_with("the connection to the scheduler was lost"),
            "{lost}"
        );
        let executors = plain("Execution error: Job 03X failed: transport error between executors");
        assert_eq!(executors, "transport error between executors");
    }
}
