//! The reference of the command line, compared with what `--help` prints.

use std::collections::BTreeSet;
use std::process::Command;

use super::read;

const DOCUMENT: &str = "docs/src/reference/command-line.md";

type Names = BTreeSet<String>;

/// The output of `handstamp COMMAND --help`.
fn help(command: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_handstamp"));
    let output = program.args(command.split_whitespace()).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{command}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands below one, by what its help lists: `user add`, and so on.
fn commands(above: &str) -> Names {
    let help = help(above);
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Names::from([above.to_owned()]) };
    let names = rest.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.flat_map(|name| commands(format!("{above} {name}").trim_start())).collect()
}

/// The flags of a command, by its help.
fn flags(command: &str) -> Names {
    let help = help(command);
    let flags = help.lines().filter_map(|line| {
        line.trim_start()
            .split_once("--")
            .filter(|(before, _)| before.is_empty() || (before.len() == 4 && before.starts_with('-')))
    });
    let flags = flags.map(|(_, rest)| rest.split([' ', '=', '.']).next().unwrap());
    flags.filter(|flag| !["help", "version"].contains(flag)).map(|flag| format!("--{flag}")).collect()
}

/// The cells of each row of a table, whose heading has this as its first cell.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = read(DOCUMENT);
    let (_, rest) = text.split_once(&format!("\n| {heading} |")).expect("the document has the table");
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_reference_has_all_commands_and_no_other() {
    let documented: Names = rows("command")
        .iter()
        .map(|cells| {
            let words = cells[0].trim_matches('`').split_whitespace().skip(1);
            let words: Vec<&str> =
                words.take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
            words.join(" ")
        })
        .collect();
    assert_eq!(documented, commands(""));
    assert!(documented.len() > 10, "{documented:?}");
}

#[test]
fn the_reference_has_all_flags_of_each_command_and_no_other() {
    let all = commands("");
    let mut documented: Vec<(String, String)> = Vec::new();
    for cells in rows("flag") {
        let flag = cells[0].trim_matches('`').split_whitespace().next().unwrap().to_owned();
        for name in spans(&cells[1]) {
            // `user` stands for all commands that begin with it.
            let below = all.iter().filter(|command| *command == name || command.starts_with(&format!("{name} ")));
            let below: Vec<_> = below.collect();
            assert!(!below.is_empty(), "{DOCUMENT} names the command {name}");
            documented.extend(below.into_iter().map(|command| (command.clone(), flag.clone())));
        }
    }
    for command in &all {
        let of_this: Names = documented.iter().filter(|(of, _)| of == command).map(|(_, flag)| flag.clone()).collect();
        assert_eq!(of_this, flags(command), "the flags of {command}");
    }
}
