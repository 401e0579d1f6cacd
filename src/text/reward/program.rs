//! Reward by a program: it reads a text from each line of its input and writes a number on each line of its output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Reward, SampledText};
use crate::error::{Error, ErrorKind, Result};

/// Time after which a program that has not answered to all texts has stalled.
const PATIENCE: Duration = Duration::from_secs(60);

/// Program that rewards texts. A line of its input is the prompt and the continuation, in which line ends are `\n` and
/// backslashes `\\`. It must flush its output after each line, or at the latest when it waits for input.
pub struct ProgramReward {
    program: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<std::io::Result<String>>,
    patience: Duration,
}

impl ProgramReward {
    /// Starts `program`, a line of the shell.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be started.
    pub fn new(program: &str) -> Result<Self> {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut command = Command::new(shell);
        command.arg(flag).arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // Ctrl-C in a terminal ends the run, and not the program before it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let cannot = |cause| {
            let text = format!("reward: cannot start {program}; give a program");
            Error::new(ErrorKind::File, text).caused_by(cause)
        };
        let mut child = command.spawn().map_err(cannot)?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            // Ends with the output of the program.
            thread::spawn(move || BufReader::new(output).lines().try_for_each(|line| sender.send(line)));
        }
        Ok(Self { program: program.into(), input: child.stdin.take(), child, lines, patience: PATIENCE })
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::File, format!("reward: {} {what}; correct the program", self.program))
    }

    /// Error of a program that has closed its output.
    fn ended(&mut self, answered: usize, texts: usize) -> Error {
        // It ends soon after its output, if it has not ended.
        let status = (0..100).find_map(|_| {
            let status = self.child.try_wait().ok().flatten();
            if status.is_none() {
                thread::sleep(Duration::from_millis(10));
            }
            status
        });
        let how = status.map_or("closed its output".to_string(), |status| format!("ended with {status}"));
        self.error(format!("{how} after {answered} of {texts} rewards"))
    }
}

/// The text as a line.
fn line(SampledText { prompt, text }: &SampledText) -> String {
    let whole = format!("{prompt}{text}");
    whole.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r") + "\n"
}

impl Reward for ProgramReward {
    fn rewards(&mut self, texts: &[SampledText]) -> Result<Vec<f64>> {
        let Some(mut input) = self.input.take() else { return Err(self.ended(0, texts.len())) };
        // In a thread, because a program can answer before it has read all texts.
        let lines: String = texts.iter().map(line).collect();
        let writer =
            thread::spawn(move || input.write_all(lines.as_bytes()).and_then(|()| input.flush()).map(|()| input));
        let end = Instant::now() + self.patience;
        let mut rewards = Vec::with_capacity(texts.len());
        while rewards.len() < texts.len() {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(Ok(answer)) => match answer.trim().parse::<f64>() {
                    Ok(reward) if reward.is_finite() => rewards.push(reward),
                    _ => {
                        let shown: String = answer.trim().chars().take(40).collect();
                        return Err(self.error(format!("wrote \"{shown}\", expected a finite number")));
                    }
                },
                Ok(Err(cause)) => return Err(self.error("wrote no text").caused_by(cause)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended(rewards.len(), texts.len())),
                Err(RecvTimeoutError::Timeout) => {
                    let (answered, texts, seconds) = (rewards.len(), texts.len(), self.patience.as_secs_f64());
                    return Err(self.error(format!("wrote {answered} of {texts} rewards in {seconds} s")));
                }
            }
        }
        // All texts were read, or their rewards would be missing.
        self.input = writer.join().ok().and_then(std::io::Result::ok);
        Ok(rewards)
    }
}

impl Drop for ProgramReward {
    fn drop(&mut self) {
        // A program that reads lines ends with its input.
        self.input = None;
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<SampledText> {
        all.iter().map(|text| SampledText { prompt: "p".into(), text: (*text).into() }).collect()
    }

    #[test]
    fn a_program_answers_line_by_line_and_stays() {
        let mut program = ProgramReward::new("while IFS= read -r line; do echo ${#line}; done").unwrap();
        assert_eq!(program.rewards(&texts(&["", "ab", "a\nb\\"])).unwrap(), [1.0, 3.0, 7.0]);
        assert_eq!(program.rewards(&texts(&["abc"])).unwrap(), [4.0]);
        let many = vec!["x".repeat(100); 2000];
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(program.rewards(&texts(&many)).unwrap(), vec![101.0; 2000]);
    }

    #[test]
    fn a_program_that_does_not_reward_is_one_clear_line() {
        for (program, what) in [
            ("exit 3", "exit status: 3 after 0 of 2 rewards"),
            ("read line; echo 1", "after 1 of 2 rewards"),
            ("while read line; do echo NaN; done", "wrote \"NaN\", expected a finite number"),
            ("while read line; do echo good; done", "wrote \"good\""),
            ("exec no-such-program", "ended with"),
        ] {
            let said = ProgramReward::new(program).unwrap().rewards(&texts(&["a", "b"])).unwrap_err().to_string();
            assert!(said.contains(what) && said.starts_with("reward: ") && !said.contains('\n'), "{said}");
        }
        let mut stalled = ProgramReward::new("cat > /dev/null").unwrap();
        stalled.patience = Duration::from_millis(50);
        let said = stalled.rewards(&texts(&["a"])).unwrap_err().to_string();
        assert!(said.contains("wrote 0 of 1 rewards in 0.05 s"), "{said}");
    }
}
