//! The program as it is built for production: nothing in it breaks anything, and it says so. The step
//! `production` of `cargo xtask test` builds it that way; other builds have no test here.
#![cfg(not(feature = "local"))]

use std::process::{Command, Output};

const WHY: &str = "this build is for production: it has no gates, and injects no faults";

fn lotzero(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lotzero"));
    for unset in [
        "DATABASE_URL",
        "DSQL_CLUSTER_ENDPOINT",
        "LOTZERO_REGIONAL_GATES",
    ] {
        command.env_remove(unset);
    }
    command.args(arguments).envs(variables.iter().copied());
    command.output().expect("runs")
}

/// It ends with this code and says this, before it has touched anything.
fn refused(ran: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn gates_are_refused() {
    for arguments in [
        &["serve", "--regional-gates"][..],
        &["serve", "--regional-gates", "ap-northeast-1,ap-northeast-2"],
    ] {
        refused(&lotzero(arguments, &[]), 2, WHY);
    }
    let asked = [("LOTZERO_REGIONAL_GATES", "ap-northeast-1")];
    refused(&lotzero(&["serve"], &asked), 2, WHY);
}

#[test]
fn faults_and_swarms_are_refused() {
    let race = ["prove", "oversell", "--fault", "lost_commits"];
    refused(&lotzero(&race, &[]), 2, WHY);
    let swarm = ["swarm", "--agents", "1000", "--lose-region"];
    refused(&lotzero(&swarm, &[]), 1, WHY);
    refused(&lotzero(&["swarm"], &[]), 1, WHY);
}

#[test]
fn help_offers_none_of_it() {
    for command in [&["--help"][..], &["serve", "--help"], &["prove", "--help"]] {
        let help = lotzero(command, &[]).stdout;
        let help = String::from_utf8_lossy(&help);
        assert!(help.contains("Usage: lotzero"), "{help}");
        for word in [
            "--regional-gates",
            "--fault",
            "--engine",
            "  swarm",
            "  bench",
            "  stores",
        ] {
            assert!(!help.contains(word), "{command:?} offers {word}: {help}");
        }
    }
}

#[test]
fn without_a_database_it_says_which_variables_are_missing() {
    let why = "set DSQL_CLUSTER_ENDPOINT or DATABASE_URL: this build has no local stores";
    refused(&lotzero(&["schema"], &[]), 1, why);
}
