//! The manual pages and completion scripts, made from the command line's own definition.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::error::Error;

/// The completion script of a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lowtide", &mut script);
    script
}

/// The manual page of a command, or of lowtide itself, in roff.
///
/// # Errors
/// [`Error::Usage`] for a command that there is not.
pub fn manual(command: Option<&str>) -> Result<Vec<u8>, Error> {
    let mut cli = Cli::command();
    cli.build();
    let page = match command {
        None => Man::new(cli),
        Some(name) => match cli.find_subcommand(name) {
            Some(command) => Man::new(command.clone()),
            None => return Err(Error::Usage(format!("there is no command '{name}'; see 'lowtide --help'"))),
        },
    };
    let mut roff = Vec::new();
    page.render(&mut roff).map_err(Error::Output)?;
    Ok(roff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command() {
        for command in [
            None,
            Some("replay"),
            Some("run"),
            Some("check-config"),
            Some("drain"),
            Some("ship"),
            Some("schema"),
            Some("clickhouse"),
            Some("completions"),
            Some("man"),
        ] {
            let page = String::from_utf8(manual(command).unwrap()).unwrap();
            assert!(page.contains(".SH NAME") && page.contains("Examples:"), "{page}");
        }
        assert!(String::from_utf8(manual(Some("replay")).unwrap()).unwrap().contains("query\\-timeout"));
        assert!(matches!(manual(Some("frobnicate")), Err(Error::Usage(_))));
    }

    #[test]
    fn completions_know_the_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(shell)).unwrap();
            for option in ["query-timeout", "lateness", "check-config"] {
                assert!(script.contains(option), "{option} {shell}");
            }
        }
    }
}
