//! Every operation of the disk is the last one, or fails, and what is left is a good store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::super::super::page::Page;
use super::super::super::{Revision, StoreError, Written, Wrote};
use super::super::book::Book;
use super::sim::{FOLDER, Loss, SimDisk, Trouble};
use crate::secret::Secret;

/// What must be in the store: of each page the last generation that was acknowledged or read, and
/// one that was perhaps written after it.
#[derive(Clone, Debug, Default)]
struct Model {
    sure: BTreeMap<&'static str, u64>,
    maybe: Option<(&'static str, u64)>,
}

fn book(disk: &SimDisk) -> Book<SimDisk> {
    Book::new(disk.clone(), PathBuf::from(FOLDER).join("tokens.json"))
}

impl Model {
    /// Saves the next generation of a page.
    fn save(&mut self, book: &mut Book<SimDisk>, name: &'static str) -> Result<(), StoreError> {
        book.look()?;
        self.heed(book);
        let stored = book.pages().get(name);
        let seen = stored.map(|page| page.revision).unwrap_or_default();
        let generation = stored.map_or(0, |page| page.generation) + 1;
        let mut page = Page { generation, ..Page::default() };
        // Now longer, now shorter than what is there.
        let length = 20 + 300 * usize::try_from(generation % 2).expect("a bit");
        page.tokens.refresh = Some(Secret::new("r".repeat(length)));
        self.maybe = Some((name, generation));
        let next = Written::of(&page, Revision::fresh());
        let wrote = book.replace(name, seen, next)?;
        assert!(matches!(wrote, Wrote::Done), "nobody else writes: {wrote:?}");
        self.sure.insert(name, generation);
        self.maybe = None;
        Ok(())
    }

    /// What has just been read fits what is known, and is known from now on.
    fn heed(&mut self, book: &Book<SimDisk>) {
        for name in NAMES {
            let sure = self.sure.get(name).copied().unwrap_or(0);
            let stored = book.pages().get(name).map_or(0, |page| page.generation);
            let perhaps = self.maybe.is_some_and(|(of, it)| of == name && it == stored);
            assert!(stored == sure || perhaps, "{name}: {stored} is stored, {self:?}");
            if let Some(page) = book.pages().get(name) {
                let page = page.page().expect("a whole page");
                assert_eq!(page.generation, stored);
                self.sure.insert(name, stored);
            }
        }
        self.maybe = None;
    }

    fn look(&mut self, book: &mut Book<SimDisk>, context: &str) {
        book.look().unwrap_or_else(|error| panic!("{context}: {error:?}"));
        self.heed(book);
    }
}

/// Saves until something fails.
fn work(model: &mut Model, book: &mut Book<SimDisk>) -> Result<(), StoreError> {
    WORK.iter().try_for_each(|name| model.save(book, name))
}

/// How many operations the work takes when all goes well, on a disk that comes back from an end.
fn operations() -> usize {
    let disk = SimDisk::new(0);
    work(&mut Model::default(), &mut book(&disk)).expect("nothing fails");
    disk.done()
}

/// The process, or the machine, ends at every single operation; then again at every operation of
/// what is done after that.
#[test]
fn p15_whatever_is_cut_off_the_store_holds_the_old_pages_or_the_new() {
    let (most, mut ends) = (operations(), 0);
    for seed in 0..SEEDS {
        for first in 0..most {
            for second in 0..most {
                let disk = SimDisk::new(seed ^ (first as u64) << 32 ^ (second as u64) << 16);
                let mut model = Model::default();
                let losses = [LOSSES[second % 2], LOSSES[(first + seed as usize) % 2]];
                for (at, loss) in [first, second].into_iter().zip(losses) {
                    disk.trouble(Some(Trouble::End(at)));
                    let _ = work(&mut model, &mut book(&disk));
                    disk.come_back(loss);
                    ends += 1;
                }
                let context = format!("seed {seed}, ends at {first} and {second}, {losses:?}");
                model.look(&mut book(&disk), &context);
                work(&mut model, &mut book(&disk)).expect("it goes on");
            }
        }
    }
    assert!(ends > 10_000, "{ends} ends, at {most} operations");
    eprintln!("{most} operations, {ends} ends");
}

/// A process is killed between rename and flush, the next one reads, and then the power goes.
#[test]
fn p15_what_was_read_once_is_not_lost_afterwards() {
    let most = operations();
    for seed in 0..8 * SEEDS {
        for at in 0..most {
            let disk = SimDisk::new(seed ^ (at as u64) << 32);
            let mut model = Model::default();
            disk.trouble(Some(Trouble::End(at)));
            let _ = work(&mut model, &mut book(&disk));
            disk.come_back(Loss::Process);
            let context = format!("seed {seed}, ends at {at}");
            model.look(&mut book(&disk), &context);
            disk.come_back(Loss::Power);
            model.look(&mut book(&disk), &context);
        }
    }
}

/// An operation fails and the process goes on, with what it remembers; then the power goes.
#[test]
fn p15_after_an_error_of_the_disk_nothing_is_believed_that_is_not_there() {
    let most = operations();
    for seed in 0..8 * SEEDS {
        for at in 0..most {
            for trouble in [Trouble::Fails(at), Trouble::Full(at)] {
                let disk = SimDisk::new(seed ^ (at as u64) << 32);
                let (mut model, mut book_of_it) = (Model::default(), book(&disk));
                let context = format!("seed {seed}, {trouble:?}");
                disk.trouble(Some(trouble));
                // What is called Done is done, though a file could not be removed.
                while let Ok(()) = work(&mut model, &mut book_of_it) {
                    if disk.done() > at {
                        break;
                    }
                }
                disk.trouble(None);
                model.look(&mut book_of_it, &context);
                work(&mut model, &mut book_of_it).expect("there is room again");
                disk.come_back(Loss::Power);
                model.look(&mut book(&disk), &context);
            }
        }
    }
}

/// A file that is only looked at costs one operation, as long as it does not change.
#[test]
fn a_file_that_has_not_changed_is_not_read_again() {
    let disk = SimDisk::new(1);
    let (mut model, mut writer) = (Model::default(), book(&disk));
    work(&mut model, &mut writer).expect("saved");
    let mut reader = book(&disk);
    assert!(reader.look().expect("read"));
    disk.trouble(None);
    assert!(!reader.look().expect("looked") && !writer.look().expect("looked"));
    assert_eq!(disk.done(), 2);
    model.save(&mut writer, "one").expect("saved");
    assert!(reader.look().expect("read"), "somebody has replaced it");
}

const NAMES: [&str; 2] = ["one", "two"];
/// Pages come and grow.
const WORK: [&str; 4] = ["one", "two", "one", "two"];
const LOSSES: [Loss; 2] = [Loss::Process, Loss::Power];
const SEEDS: u64 = 4;
