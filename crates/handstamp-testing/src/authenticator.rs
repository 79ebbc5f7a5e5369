//! The authenticator app of a user: pyotp, from the packages that `script/test` installs.

use std::path::Path;
use std::process::Command;

/// Prints the code of the step that is so many steps from now, by the clock of the machine. It waits if the step ends soon.
const CODE: &str = "
import sys, time, pyotp
if time.time() % 30 > 20:
    time.sleep(10.5)
print(pyotp.parse_uri(sys.argv[1]).at(int(time.time()) + 30 * int(sys.argv[2])))
";

/// Prints the text of the QR code in a picture.
const SCAN: &str = "
import sys, zxingcpp
from PIL import Image
print(zxingcpp.read_barcodes(Image.open(sys.argv[1]))[0].text)
";

/// An authenticator app that knows a secret.
pub struct Authenticator {
    /// The URL of the QR code.
    pub url: String,
}

impl Authenticator {
    /// An app that has scanned the QR code in a PNG file.
    pub fn scan(picture: &Path) -> Self {
        Self { url: python(SCAN, &[picture.to_str().unwrap()]) }
    }

    /// The code of the step that is so many steps from now. It waits if the step ends soon, so that the code is used within it.
    pub fn code(&self, steps: i64) -> String {
        python(CODE, &[&self.url, &steps.to_string()])
    }
}

fn python(script: &str, arguments: &[&str]) -> String {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/python");
    let printed = Command::new(python).args(["-c", script]).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(printed.status.success(), "{}", text(printed.stderr));
    text(printed.stdout).trim().to_owned()
}
