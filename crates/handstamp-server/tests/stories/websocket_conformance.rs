//! The cases of Autobahn's test suite for WebSockets through the proxy, run by the package kosoku: fragments, control frames, invalid
//! UTF-8, close codes and compressed messages.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use handstamp_testing::{Program, TestServer};
use serde_json::Value;

use super::in_front_of_an_app::in_front_of;

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin");

/// All cases but those that take long: of messages beyond 256 KiB and of a thousand compressed messages each there are some.
const CASES: [&str; 15] = [
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.1.2", "9.2.1", "9.5.1", "10.*", "12.1.1", "12.2.3",
    "13.2.2",
];

/// The result of each case at this address: whether the messages and the end were as they should be.
fn results(folder: &Path, address: &str) -> BTreeMap<String, [Value; 2]> {
    let mut command = Command::new(format!("{TOOLS}/kosoku"));
    command.args(["--parallelism", "4", "--outdir"]).arg(folder.join(address)).arg(address).stdout(Stdio::null());
    // It exits with an error where a case fails.
    command.args(CASES.iter().flat_map(|case| ["--include", case])).status().unwrap();
    let report = fs::read_to_string(folder.join(address).join("index.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let servers: Vec<_> = report.as_object().unwrap().values().collect();
    let [cases] = servers.as_slice() else { panic!("{report}") };
    let results = cases.as_object().unwrap().iter();
    results
        .map(|(case, result)| (case.clone(), [result["behavior"].clone(), result["behaviorClose"].clone()]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_behave_through_the_proxy_as_they_do_without_it() {
    let mut command = Command::new(format!("{TOOLS}/python"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stories/websocket_echo.py"));
    let app = Program::start(command.stderr(Stdio::null()), "listening on ");
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_APP__ACCESS", "everybody");
    let server = in_front_of(server, app.address());
    let (direct, proxied) = tokio::task::block_in_place(|| {
        (results(server.folder(), app.address()), results(server.folder(), &server.address()))
    });
    let passed = direct.values().filter(|[messages, _]| *messages == "OK").count();
    assert!(direct.len() > 200 && passed > 150, "{} of {}", passed, direct.len());
    assert_eq!(proxied.len(), direct.len());
    // A case is not strict where the server may notice an error sooner or later, which is a matter of time.
    let strict =
        |results: &[Value; 2]| results.clone().map(|result| if result == "NON-STRICT" { "OK".into() } else { result });
    for (case, results) in &direct {
        assert_eq!(strict(&proxied[case]), strict(results), "{case}");
    }
}
