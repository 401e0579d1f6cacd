//! Data of a GPT: the batches and the tokenizer of a task, and the record of the file in the run folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ketformer::Result;
use ketformer::gpt::Batches;
use ketformer::run::DataRecord;
use ketformer::text::{Corpus, Sorting, SortingSizes, Tokenizer, Windows, read_text};

use crate::cli::groups::gpt::Task;

/// Number of held-out words of the sorting task in an evaluation.
pub const HELD_OUT: u64 = 5000;

/// Text or task before its windows are made.
pub enum Source {
    /// A text of a file.
    Text {
        /// Its contents.
        text: String,
        /// The file.
        record: DataRecord,
        /// Fraction that is held out.
        validation: f64,
    },
    /// Words to sort.
    Sort {
        /// Letters of a word.
        length: usize,
        /// Different letters.
        letters: usize,
    },
}

/// Batches of a task.
#[derive(Clone)]
pub enum Data {
    /// Windows of a text.
    Text {
        /// The windows.
        windows: Windows,
        /// Tokens of the text.
        corpus: Arc<Corpus>,
        /// The file.
        record: DataRecord,
    },
    /// Words to sort.
    Sort(Sorting),
}

impl Source {
    /// Reads the data of a task. `recorded` is the file that a run began with, which it must still be.
    ///
    /// # Errors
    /// `ErrorKind::File` if the file cannot be read, is not UTF-8, or is another one.
    pub fn load(task: &Task, recorded: Option<&DataRecord>) -> Result<Self> {
        match task {
            Task::Sort { length, letters } => Ok(Self::Sort { length: *length, letters: *letters }),
            Task::Text { data, validation, .. } => {
                let path = path_of(data, recorded);
                let text = read_text(&path)?;
                let record = DataRecord::of(&path, text.as_bytes());
                if let Some(recorded) = recorded {
                    recorded.check(&record)?;
                }
                Ok(Self::Text { text, record, validation: *validation })
            }
        }
    }

    /// Tokenizer of the task.
    ///
    /// # Errors
    /// As those of [`Tokenizer`].
    pub fn tokenizer(&self, task: &Task) -> Result<Tokenizer> {
        match (self, task) {
            (Self::Sort { letters, .. }, _) => Tokenizer::letters(*letters),
            (Self::Text { .. }, Task::Text { bpe: true, .. }) => Tokenizer::bpe(),
            (Self::Text { text, .. }, _) => Tokenizer::characters(text),
        }
    }

    /// Batches of `sequences` windows of `block` tokens.
    ///
    /// # Errors
    /// `ErrorKind::Settings` if the text is too short or has characters without a token.
    pub fn data(self, tokenizer: &Tokenizer, sequences: usize, block: usize, seed: u64) -> Result<Data> {
        match self {
            Self::Sort { length, letters } => {
                let sizes = SortingSizes { length, letters, sequences, held_out: HELD_OUT };
                Ok(Data::Sort(Sorting::new(sizes, seed)?))
            }
            Self::Text { text, record, validation } => {
                let corpus = Arc::new(Corpus::new(&text, tokenizer, validation)?);
                let windows = Windows::new(Arc::clone(&corpus), sequences, block, seed)?;
                Ok(Data::Text { windows, corpus, record })
            }
        }
    }
}

/// The file of the settings if it exists, or the one that was recorded.
fn path_of(data: &Path, recorded: Option<&DataRecord>) -> PathBuf {
    match recorded {
        Some(recorded) if !data.exists() => recorded.path.clone(),
        _ => data.to_path_buf(),
    }
}

impl Data {
    /// Batches for a trainer.
    pub fn batches(&self) -> Box<dyn Batches> {
        match self {
            Self::Text { windows, .. } => Box::new(windows.clone()),
            Self::Sort(sorting) => Box::new(sorting.clone()),
        }
    }

    /// Record of the file, if there is one.
    pub fn record(&self) -> Option<&DataRecord> {
        match self {
            Self::Text { record, .. } => Some(record),
            Self::Sort(_) => None,
        }
    }

    /// Short name for the title of a plot.
    pub fn title(&self) -> String {
        match self {
            Self::Text { record, .. } => {
                record.path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
            }
            Self::Sort(sorting) => {
                let SortingSizes { length, letters, .. } = sorting.sizes();
                format!("sort length={length} letters={letters}")
            }
        }
    }

    /// Characters per held-out token; `None` without held-out text.
    pub fn characters_per_token(&self, tokenizer: &Tokenizer) -> Option<f64> {
        let Self::Text { corpus, .. } = self else { return None };
        let tokens = corpus.held_out_tokens();
        (!tokens.is_empty()).then(|| tokenizer.decode(tokens).chars().count() as f64 / tokens.len() as f64)
    }
}
