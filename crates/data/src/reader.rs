//! Reading a file into a dataset: recognises its format and the shape of its records, and encodes them.

use std::hash::{DefaultHasher, Hash, Hasher};

use loralab_tokenizer::Tokenizer;

use crate::{
    dataset::Dataset,
    encode,
    error::{Error, Place},
    example::Examples,
    format::{Format, format_of},
    labelled::{self, Gathered, Wanted},
    records::{self, Record},
    shape::{Fields, Said, Shape},
    template,
};

/// Treatment of examples longer than a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLong {
    /// The data are refused, with [`Error::TooLong`], if more than 1 in [`FEW`] examples are too long. Otherwise these are left out.
    #[default]
    Refuse,
    /// The end of the example is cut.
    Truncate,
    /// The example is left out.
    Skip,
}

/// One in so many examples may be too long for a sequence without a word from the user: it is left out, and counted in the notes.
pub const FEW: usize = 100;

/// A reader of data files: its options.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// The tokenizer that turns texts into token ids.
    pub tokenizer: &'a Tokenizer,
    /// Length of a sequence, in tokens.
    pub tokens: usize,
    /// The fields that have roles other than their names say, such as the field `question` in the role `prompt`.
    pub fields: Fields,
    /// Treatment of examples longer than `tokens`.
    pub too_long: TooLong,
    /// The answer that a model is to give about a text, a class or a score; none for a model that writes labels as text.
    pub labels: Option<Wanted>,
}

/// The contents of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The data.
    pub dataset: Dataset,
    /// Sentences for a person: what was understood, and what was left out or cut. None for plain text.
    pub notes: Vec<String>,
    /// A hash of the tokens of each record, if records are texts: the dataset joins these and no longer tells them apart. Empty otherwise.
    pub(crate) texts: Vec<u64>,
}

impl<'a> Reader<'a> {
    /// A reader that refuses examples that are too long, and finds the fields by their usual names.
    pub fn new(tokenizer: &'a Tokenizer, tokens: usize) -> Self {
        Self { tokenizer, tokens, fields: Fields::default(), too_long: TooLong::default(), labels: None }
    }

    /// The length of a sequence that no more than 1 in [`FEW`] examples of the file exceed, in tokens, whatever `tokens` is; `None` for a text.
    ///
    /// # Errors
    /// As for [`Reader::read`].
    pub fn length_of_most(&self, name: Option<&str>, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let found = Self { tokens: usize::MAX, ..self.clone() }.read(name, bytes)?;
        let mut lengths: Vec<usize> = match (found.dataset.examples(), found.dataset.labelled()) {
            (Some(examples), _) => examples.iter().map(|lesson| lesson.tokens.len()).collect(),
            (_, Some(texts)) => texts.iter().map(|text| text.tokens.len()).collect(),
            (None, None) => return Ok(None),
        };
        lengths.sort_unstable();
        Ok(lengths.len().checked_sub(1 + lengths.len() / FEW).map(|place| lengths[place]))
    }

    /// Reads the bytes of the file `name`; `None` for data that come through a pipe. The content determines the format (see
    /// [`format_of`]), the fields of the first record the shape of all records.
    ///
    /// # Errors
    /// A sentence that names the line or the record, and the field.
    pub fn read(&self, name: Option<&str>, bytes: &[u8]) -> Result<Found, Error> {
        let format = format_of(name, bytes);
        if format == Format::Text {
            if self.labels.is_some() {
                return Err(Error::Unlabelled { found: "plain text" });
            }
            let dataset = Dataset::text(bytes, self.tokenizer)?;
            self.fields.refuse("the file holds plain text, which has no fields")?;
            return Ok(Found { dataset, notes: vec![], texts: vec![] });
        }
        let mut taken = Taken::new(self, format);
        let words =
            records::each(format, bytes, self.fields.are_numbers(), &mut |place, record| taken.take(place, &record))?;
        taken.end(&words)
    }
}

/// The data read so far, record by record.
struct Taken<'r> {
    reader: &'r Reader<'r>,
    format: Format,
    shape: Option<&'static Shape>,
    examples: Examples,
    gathered: Gathered,
    text: Vec<u32>,
    texts: Vec<u64>,
    records: usize,
    /// The number of examples that are too long, whatever becomes of them.
    long: usize,
    first_long: Option<Place>,
    longest: usize,
    /// The number of examples that have no taught token left once they are cut.
    emptied: usize,
}

impl<'r> Taken<'r> {
    fn new(reader: &'r Reader<'r>, format: Format) -> Self {
        Self {
            reader,
            format,
            shape: None,
            examples: Examples::default(),
            gathered: Gathered::default(),
            text: vec![],
            texts: vec![],
            records: 0,
            long: 0,
            first_long: None,
            longest: 0,
            emptied: 0,
        }
    }

    fn take(&mut self, place: Place, record: &Record) -> Result<(), Error> {
        let Reader { tokenizer, fields, .. } = self.reader;
        let shape = match self.shape {
            Some(shape) => shape,
            None => *self.shape.insert(Shape::of(record, fields, self.format)?),
        };
        if self.reader.labels.is_some() && !shape.has_labels() {
            return Err(Error::Unlabelled { found: shape.name });
        }
        self.records += 1;
        match shape.read(place, record, fields)? {
            Said::Text(text) => {
                let tokens = encode::ended(&text, tokenizer);
                self.texts.push(hash(&tokens));
                self.text.extend(tokens);
                return Ok(());
            }
            Said::Completion(prompt, completion) => {
                encode::completion(&mut self.examples, &prompt, &completion, tokenizer);
            }
            Said::Labelled(texts, label) if self.reader.labels.is_some() => {
                self.label(place, &texts.iter().map(|(_, text)| &text[..]).collect::<Vec<_>>(), label);
                return Ok(());
            }
            Said::Labelled(texts, label) => {
                let (prompt, completion) = (template::labelled(&texts), format!(" {label}"));
                encode::completion(&mut self.examples, &prompt, &completion, tokenizer);
            }
            Said::Messages(messages) => encode::conversation(&mut self.examples, &messages, tokenizer)
                .map_err(|why| Error::Chat { place, why: why.to_string() })?,
        }
        self.fit(place);
        Ok(())
    }

    /// Adds texts with their label, unless they are too long.
    fn label(&mut self, place: Place, texts: &[&str], label: String) {
        let Reader { tokenizer, tokens, too_long, .. } = *self.reader;
        let whole = tokenizer.encode_pair(texts[0], texts.get(1).copied());
        match (self.is_long(place, whole.tokens.len()), too_long) {
            (false, _) => self.gathered.push(&whole, label, place),
            (true, TooLong::Truncate) => self.gathered.push(&labelled::cut(texts, tokenizer, tokens), label, place),
            (true, TooLong::Skip | TooLong::Refuse) => {}
        }
    }

    /// True if a record of so many tokens is too long; counts it then.
    fn is_long(&mut self, place: Place, length: usize) -> bool {
        self.longest = self.longest.max(length);
        let is_long = length > self.reader.tokens;
        if is_long {
            self.long += 1;
            self.first_long.get_or_insert(place);
        }
        is_long
    }

    /// Treats the last example, read from the record at `place`, by `too_long` if it is longer than a sequence.
    fn fit(&mut self, place: Place) {
        let length = self.examples.at(self.examples.len() - 1).tokens.len();
        if !self.is_long(place, length) {
            return;
        }
        match self.reader.too_long {
            TooLong::Truncate => {
                self.examples.cut(self.reader.tokens);
                if !self.examples.at(self.examples.len() - 1).teaches() {
                    self.examples.pop();
                    self.emptied += 1;
                }
            }
            // Data are refused at their end, so that the message can count all long examples.
            TooLong::Skip | TooLong::Refuse => self.examples.pop(),
        }
    }

    fn end(self, format: &str) -> Result<Found, Error> {
        let Self { records, long, longest, emptied, .. } = self;
        let tokens = self.reader.tokens;
        let Some(shape) = self.shape else { return Err(Error::Empty) };
        let are_few = long * FEW <= records;
        if let (TooLong::Refuse, Some(place), false) = (self.reader.too_long, self.first_long, are_few) {
            return Err(Error::TooLong { long, records, tokens, place, longest });
        }
        let mut notes = vec![format!("{} of {} from {format}.", counted(records, "record"), shape.name)];
        if !self.text.is_empty() {
            return Ok(Found { dataset: Dataset::Text(self.text), notes, texts: self.texts });
        }
        if self.examples.is_empty() && self.gathered.is_empty() {
            return Err(Error::NoneLeft { records, tokens, longest });
        }
        if long > 0 {
            let is = if long == 1 { "is" } else { "are" };
            let done = if self.reader.too_long == TooLong::Truncate { "cut at the end" } else { "left out" };
            notes.push(format!(
                "{long} of {records} {is} longer than {tokens} tokens, the longest {longest}, and {is} {done}{}.",
                match emptied {
                    0 => String::new(),
                    emptied => format!(
                        "; {emptied} of these {} left out, since the prompt alone fills the sequence",
                        if emptied == 1 { "is" } else { "are" }
                    ),
                }
            ));
        }
        if let Some(wanted) = &self.reader.labels {
            let labelled = self.gathered.labelled(wanted)?;
            notes.insert(1, labelled.labels().in_words());
            return Ok(Found { dataset: Dataset::Labelled(labelled), notes, texts: vec![] });
        }
        Ok(Found { dataset: Dataset::Examples(self.examples.fitted()), notes, texts: vec![] })
    }
}

fn hash(tokens: &[u32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    tokens.hash(&mut hasher);
    hasher.finish()
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
