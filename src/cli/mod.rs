//! What a person runs from the shell: `serve`, `config` and the offline tools.
//!
//! In: the command line. Out: an exit code (0 ok, 1 failure, 2 usage) and text for a person.
