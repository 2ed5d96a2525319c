//! What a person types: subcommands, flags made from the option table, exit codes.
//!
//! In: arguments, environment, a configuration file. Out: a running server, or text and a status:
//! 0 fine, 1 something failed, 2 the command or the configuration is wrong.

mod inspect;
mod store;
mod verify;

use crate::config::{Config, Layers, TABLE, influxdb, sample};
use crate::server::{self, ServeError};
use crate::stats;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::io::Write;
use std::process::ExitCode;

/// The command or the configuration is wrong.
const USAGE: u8 = 2;
/// Something failed.
const FAILED: u8 = 1;

/// Runs what the process's arguments ask for.
pub fn run() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are no errors and go to standard output.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match matches.subcommand() {
        Some(("config", inner)) => config(&matches, inner.get_flag("effective")),
        Some(("graphite", inner)) => {
            graphite(&matches, inner.get_many::<String>("path").unwrap_or_default())
        }
        Some(("inspect", inner)) => {
            let part = inner.get_one::<String>("part").map_or("series", String::as_str);
            look(&matches, |config| inspect::inspect(&config.data_dir, part))
        }
        Some(("counters", _)) => {
            print!("{}", counters());
            ExitCode::SUCCESS
        }
        Some(("verify", _)) => look(&matches, |config| verify::verify(&config.data_dir)),
        _ => serve(&matches),
    }
}

/// The figures that `/debug/vars`, `/metrics` and SHOW STATS have, with their meaning.
fn counters() -> String {
    let tables = [("ringtail", stats::TABLE), ("ringtail_shard", stats::SHARD_TABLE)];
    let lines = tables.iter().flat_map(|(module, table)| {
        table.iter().map(move |spec| {
            let kind = if spec.is_gauge() { "gauge" } else { "counter" };
            format!("{module}_{} ({kind}): {}\n", spec.name, spec.doc)
        })
    });
    lines.collect()
}

/// Prints what there is to see of a data folder; the status says whether it is sound.
fn look(
    matches: &ArgMatches,
    work: impl FnOnce(&Config) -> Result<(String, bool), String>,
) -> ExitCode {
    let config = match read(matches) {
        Ok((_, config)) => config,
        Err(error) => return complain(&error, USAGE),
    };
    match work(&config) {
        Ok((text, sound)) => {
            // A reader that has gone is no fault of the folder.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(if sound { 0 } else { FAILED })
        }
        Err(error) => complain(&error, USAGE),
    }
}

fn command() -> Command {
    let flags = TABLE.iter().map(|spec| {
        let help = format!("{} [default: {}]", spec.doc, spec.default);
        Arg::new(spec.key)
            // Names live as long as the process; they are made once.
            .long(&*spec.flag().leak())
            .value_name("VALUE")
            .help(help)
            .action(ArgAction::Append)
            .global(true)
    });
    let file = Arg::new("config-file")
        .long("config")
        .value_name("FILE")
        .help("TOML file of options (`ringtail config` prints a sample), or an influxdb.conf.")
        .global(true);
    let effective = Arg::new("effective")
        .long("effective")
        .action(ArgAction::SetTrue)
        .help("Print every option's value and where it comes from.");
    Command::new("ringtail")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Time-series storage server: InfluxDB 1.x over HTTP, KairosDB over telnet, one store.",
        )
        .after_help(
            "Options come from the file, then from the environment (RINGTAIL_HTTP_BIND for \
             --http-bind), then from flags; later ones win. Flags may be repeated to make a list. \
             InfluxDB 1.x's names (INFLUXDB_HTTP_BIND_ADDRESS) are known as well; own names win.",
        )
        .arg(file)
        .args(flags)
        .subcommand(Command::new("serve").about("Run the server (the same as no subcommand)."))
        .subcommand(
            Command::new("config").about("Print a sample configuration file.").arg(effective),
        )
        .subcommand(
            Command::new("counters").about("Print the server's figures and what they mean."),
        )
        .subcommand(
            Command::new("inspect")
                .about("Print what is in --data-dir, which no server may use meanwhile.")
                .arg(
                    Arg::new("part")
                        .value_name("PART")
                        .value_parser(inspect::PARTS)
                        .default_value("series")
                        .help("log, segment, index, or series by measurement and tag."),
                ),
        )
        .subcommand(Command::new("verify").about(
            "Check every checksum of --data-dir, which no server may use meanwhile; 1 = damaged.",
        ))
        .subcommand(
            Command::new("graphite")
                .about("Print which template Graphite paths get and what it makes of them.")
                .arg(Arg::new("path").value_name("PATH").num_args(1..).required(true)),
        )
}

fn layers(matches: &ArgMatches) -> Result<Layers, String> {
    let mut layers = Layers::default();
    let named = std::env::var(influxdb::FILE_VARIABLE).ok().filter(|path| !path.is_empty());
    if let Some(path) = matches.get_one::<String>("config-file").cloned().or(named) {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        layers.add_file(&path, &text)?;
    }
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    layers.add_environment(variables)?;
    for spec in TABLE {
        if let Some(values) = matches.get_many::<String>(spec.key) {
            let values: Vec<String> = values.cloned().collect();
            layers.add_flag(spec, &values);
        }
    }
    layers.settle();
    Ok(layers)
}

fn read(matches: &ArgMatches) -> Result<(Layers, Config), String> {
    let layers = layers(matches)?;
    let config = layers.finish()?;
    layers.notes().iter().for_each(|note| eprintln!("ringtail: {note}"));
    Ok((layers, config))
}

fn complain(text: &str, status: u8) -> ExitCode {
    eprintln!("ringtail: {text}");
    ExitCode::from(status)
}

fn config(matches: &ArgMatches, effective: bool) -> ExitCode {
    if !effective {
        print!("{}", sample());
        return ExitCode::SUCCESS;
    }
    match read(matches) {
        Ok((layers, config)) => {
            for spec in TABLE {
                let value = config.text(spec.key).unwrap_or_default();
                println!("{} = {value}  ({})", spec.key, layers.source(spec.key));
            }
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, USAGE),
    }
}

/// Prints what the configured templates make of paths; the status says whether all are accepted.
fn graphite<'p>(matches: &ArgMatches, paths: impl Iterator<Item = &'p String>) -> ExitCode {
    let rules = read(matches).and_then(|(_, config)| crate::api::front::graphite_rules(&config));
    let rules = match rules {
        Ok(rules) => rules,
        Err(error) => return complain(&error, USAGE),
    };
    let mut status = 0;
    for path in paths {
        match rules.explain(path) {
            Ok(text) => println!("{text}"),
            Err(why) => {
                println!("{path}: refused: {}", why.text());
                status = FAILED;
            }
        }
    }
    ExitCode::from(status)
}

fn serve(matches: &ArgMatches) -> ExitCode {
    let config = match read(matches) {
        Ok((_, config)) => config,
        Err(error) => return complain(&error, USAGE),
    };
    match server::serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Config(_)) => complain(&error.to_string(), USAGE),
        Err(error @ ServeError::Failed(_)) => complain(&error.to_string(), FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_well_formed_and_flags_come_from_the_table() {
        command().debug_assert();
        let words = ["ringtail", "--cores", "2", "serve", "--http-bind", "a:1", "--http-bind=b:2"];
        let matches = command().try_get_matches_from(words).unwrap();
        let layers = layers(&matches).unwrap();
        assert_eq!(layers.source("cores").to_string(), "flag --cores");
        assert_eq!(layers.source("http.bind").to_string(), "flag --http-bind");
        assert!(command().try_get_matches_from(["ringtail", "--nonsense"]).is_err());
    }
}
