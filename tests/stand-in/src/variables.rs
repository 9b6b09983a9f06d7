//! Variables of programs: those that a command line reads, against the list that the operator writes from.

use clap::Command;
use gondola_wire::variables;

/// Checks that every variable of a command line, and of its subcommands, is on the list.
#[track_caller]
pub fn check_variables(command: &Command) {
    for name in command.get_arguments().filter_map(|argument| argument.get_env()) {
        let listed = name.to_str().is_some_and(|name| variables::ALL.contains(&name));
        assert!(listed, "{} is not on the list", name.display());
    }
    command.get_subcommands().for_each(check_variables);
}
