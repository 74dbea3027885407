//! JSON pointers (RFC 6901) made ready for the scanner.

use thiserror::Error;

/// A set of pointers: bit n is the nth that was added.
pub type PointerSet = u32;

pub const MAX_POINTERS: usize = PointerSet::BITS as usize;

/// The most steps of one pointer: the scanner has a place for each level.
pub(super) const MAX_DEPTH: usize = 8;

/// Up to [`MAX_POINTERS`] different pointers, shared by all scanners that look for them.
#[derive(Debug, Default)]
pub struct Pointers {
    list: Vec<Pointer>,
    /// Those with so many steps.
    ending: [PointerSet; MAX_DEPTH + 1],
    /// Those whose step at this depth can be an array index.
    indexed: [PointerSet; MAX_DEPTH + 1],
}

#[derive(Clone, Debug, Error, PartialEq)]
pub enum PointerError {
    #[error("a JSON pointer begins with `/`")]
    NoSlash,
    #[error("in a JSON pointer `~` stands only in `~0` (for `~`) and `~1` (for `/`)")]
    BadEscape,
    #[error("the JSON pointer has more than {MAX_DEPTH} steps")]
    TooDeep,
    #[error("a step of the JSON pointer is longer than {MAX_STEP} bytes")]
    StepTooLong,
    #[error("there are more than {MAX_POINTERS} different JSON pointers")]
    TooMany,
}

#[derive(Debug, PartialEq)]
struct Pointer {
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq)]
struct Step {
    key: Box<[u8]>,
    /// The key as an array index, where it can be one.
    index: Option<u32>,
}

impl Pointers {
    /// The place of `pointer`; one that is there already keeps its place.
    pub fn add(&mut self, pointer: &str) -> Result<usize, PointerError> {
        let pointer = Pointer::parse(pointer)?;
        if let Some(place) = self.list.iter().position(|known| *known == pointer) {
            return Ok(place);
        }
        let place = self.list.len();
        if place == MAX_POINTERS {
            return Err(PointerError::TooMany);
        }
        self.ending[pointer.steps.len()] |= 1 << place;
        for (depth, step) in pointer.steps.iter().enumerate() {
            self.indexed[depth] |= PointerSet::from(step.index.is_some()) << place;
        }
        self.list.push(pointer);
        Ok(place)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether `pointer` could be added to an empty set.
    pub fn check(pointer: &str) -> Result<(), PointerError> {
        Pointer::parse(pointer).map(drop)
    }

    pub fn all(&self) -> PointerSet {
        match MAX_POINTERS - self.list.len() {
            MAX_POINTERS => 0,
            unused => PointerSet::MAX >> unused,
        }
    }

    pub(super) fn ending(&self, depth: usize) -> PointerSet {
        self.ending[depth]
    }

    pub(super) fn indexed(&self, depth: usize) -> PointerSet {
        self.indexed[depth]
    }

    pub(super) fn through_key(&self, depth: usize, of: PointerSet, key: &[u8]) -> PointerSet {
        self.through(depth, of, |step| *step.key == *key)
    }

    pub(super) fn through_index(&self, depth: usize, of: PointerSet, index: u32) -> PointerSet {
        self.through(depth, of, |step| step.index == Some(index))
    }

    /// Those in `of` whose step at `depth` fits; all in `of` have more than `depth` steps.
    fn through(&self, depth: usize, of: PointerSet, fits: impl Fn(&Step) -> bool) -> PointerSet {
        let mut found = 0;
        let mut rest = of;
        while rest != 0 {
            let place = rest.trailing_zeros();
            rest &= rest - 1;
            if fits(&self.list[place as usize].steps[depth]) {
                found |= 1 << place;
            }
        }
        found
    }
}

impl Pointer {
    fn parse(text: &str) -> Result<Self, PointerError> {
        let steps = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        let steps = steps.split('/').map(Step::parse).collect::<Result<Vec<_>, _>>()?;
        if steps.len() > MAX_DEPTH {
            return Err(PointerError::TooDeep);
        }
        Ok(Pointer { steps })
    }
}

impl Step {
    fn parse(text: &str) -> Result<Self, PointerError> {
        let mut tildes = text.split('~');
        let mut key = tildes.next().unwrap_or_default().to_owned();
        for part in tildes {
            let (plain, rest) = match part.as_bytes().first() {
                Some(b'0') => ('~', &part[1..]),
                Some(b'1') => ('/', &part[1..]),
                _ => return Err(PointerError::BadEscape),
            };
            key.push(plain);
            key.push_str(rest);
        }
        if key.len() > MAX_STEP {
            return Err(PointerError::StepTooLong);
        }
        let canonical = key == "0" || !key.starts_with(['0', '+']);
        let index = key.parse().ok().filter(|_| canonical);
        Ok(Step { key: key.into_bytes().into(), index })
    }
}

/// Less than the scanner keeps of a key, so that a cut key never fits.
const MAX_STEP: usize = 256;
