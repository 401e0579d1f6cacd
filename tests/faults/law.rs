//! What holds however the program is used.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::Ended;

/// Time after which a command counts as hanging. Commands here take less than a second on an otherwise idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `command`. Fails if it hangs, is killed by a signal, panics, prints something that is neither a message nor
/// progress on stderr, or ends with an exit code other than 0, 1 and 2; and if it fails without exactly one error.
pub fn lawful(mut command: Command) -> Result<Ended, String> {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(|error| error.to_string())?;
    let ended = ended(child).map_err(|failure| format!("{failure}: {shown}"))?;
    let fail = |what: &str| Err(format!("{what}: code {:?}, stderr {:?}: {shown}", ended.code, ended.stderr));
    let Some(code) = ended.code else { return fail("ended by a signal") };
    if ![0, 1, 2].contains(&code) {
        return fail("an exit code that is none");
    }
    let messages = ended.stderr.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("step "));
    let messages: Vec<&str> = messages.collect();
    if ended.stderr.contains("panicked") || messages.iter().any(|line| !line.starts_with("ketformer: ")) {
        return fail("not a message");
    }
    let is_error =
        |line: &&&str| !["ketformer: warning: ", "ketformer: note: "].iter().any(|begin| line.starts_with(begin));
    match (code, messages.iter().filter(is_error).count()) {
        (0, 0) | (1 | 2, 1) => Ok(ended),
        _ => fail("errors that do not match the exit code"),
    }
}

/// Waits for the end of `child`, and kills it after [`LIMIT`].
fn ended(mut child: std::process::Child) -> Result<Ended, String> {
    let read = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
        })
    };
    let stdout = read(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = read(Box::new(child.stderr.take().expect("a pipe")));
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if begun.elapsed() > LIMIT => {
                child.kill().ok();
                return Err("hangs".into());
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let text = |reader: std::thread::JoinHandle<std::io::Result<String>>| {
        reader.join().map_err(|_| "a reader panicked")?.map_err(|_| "cannot read the output")
    };
    Ok(Ended { code: status.code(), stdout: text(stdout)?, stderr: text(stderr)? })
}
