//! The stacks that run, as they were asked for: what an apply finds again of those that it does not concern.

use anyhow::{Result, anyhow};

use super::events::since_epoch;
use super::{TemplateFile, Templates};
use crate::control::ControlState;
use crate::template::{self, Diagnostics, Running, Source, Stack, Stacks};

/// Every stack's template and parameters.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    stacks: Vec<Kept>,
    /// What they alone would have made. Where what runs is otherwise, that was decided at run time.
    base: Option<ControlState>,
}

/// A stack, as it was asked for.
#[derive(Clone, Debug)]
struct Kept {
    file: TemplateFile,
    /// What became of it.
    stack: Stack,
}

impl Wanted {
    /// The same with `given` in the places of the stacks that are called like them, and what that makes of `running`.
    pub fn with(
        &self,
        given: &Templates,
        running: Option<&ControlState>,
    ) -> Result<(Self, Stacks), Diagnostics> {
        let options = template::Options {
            parameters: given.parameters.clone(),
            region: given.region.clone(),
            default_region: given.default_region.clone(),
            now: since_epoch(),
        };
        let names: Vec<_> = given.files.iter().map(TemplateFile::stack_name).collect();
        self.made(&self.entries(given, &names), &options, running)
    }

    /// The same without the stacks of these names, and what that makes of `running`.
    pub fn without(
        &self,
        names: &[String],
        running: &ControlState,
    ) -> Result<(Self, Stacks), Diagnostics> {
        let options = template::Options {
            now: since_epoch(),
            ..template::Options::default()
        };
        let stay = self
            .stacks
            .iter()
            .filter(|kept| !names.contains(&kept.stack.name));
        let entries: Vec<_> = stay.map(Entry::staying).collect();
        self.made(&entries, &options, Some(running))
    }

    fn made(
        &self,
        entries: &[Entry],
        options: &template::Options,
        running: Option<&ControlState>,
    ) -> Result<(Self, Stacks), Diagnostics> {
        let sources: Vec<_> = entries.iter().map(Entry::source).collect();
        let (stacks, base) = match self.base.as_ref().zip(running) {
            None => {
                let stacks = template::load(&sources, options)?;
                let base = stacks.state.clone();
                (stacks, base)
            }
            Some((base, state)) => {
                let stacks: Vec<_> = self.stacks().collect();
                let running = Running {
                    state,
                    base,
                    stacks: &stacks,
                };
                template::succeed(&sources, options, &running)?
            }
        };
        let kept = entries.iter().zip(&stacks.list).map(|(entry, stack)| Kept {
            file: entry.file.clone(),
            stack: stack.clone(),
        });
        let wanted = Self {
            stacks: kept.collect(),
            base: Some(base),
        };
        Ok((wanted, stacks))
    }

    /// The templates' files as they are now; or all that cannot be read.
    pub fn read_again(&self) -> Result<Vec<TemplateFile>> {
        let mut errors = Vec::new();
        let files = self.stacks.iter().filter_map(|kept| {
            let file = kept.file.read_again();
            file.map_err(|error| errors.push(format!("{error:#}"))).ok()
        });
        let files = files.collect();
        match errors.is_empty() {
            true => Ok(files),
            false => Err(anyhow!(errors.join("; "))),
        }
    }

    /// What has become of them.
    pub fn stacks(&self) -> impl Iterator<Item = &Stack> {
        self.stacks.iter().map(|kept| &kept.stack)
    }

    /// The stacks that run, in their order, then the new ones.
    fn entries<'a>(&'a self, given: &'a Templates, names: &'a [String]) -> Vec<Entry<'a>> {
        let mut given: Vec<_> = names.iter().zip(&given.files).collect();
        let running = self.stacks.iter().map(|kept| {
            let stays = Entry::staying(kept);
            match given.iter().position(|(name, _)| *name == stays.name) {
                None => stays,
                Some(place) => Entry {
                    file: given.remove(place).1,
                    stays: false,
                    ..stays
                },
            }
        });
        let mut entries: Vec<_> = running.collect();
        // One that was given twice is among them, and refused by its name.
        entries.extend(given.into_iter().map(|(name, file)| Entry {
            name,
            file,
            before: None,
            stays: false,
        }));
        entries
    }
}

/// A stack that shall run.
struct Entry<'a> {
    name: &'a str,
    file: &'a TemplateFile,
    before: Option<&'a Stack>,
    stays: bool,
}

impl<'a> Entry<'a> {
    fn staying(kept: &'a Kept) -> Self {
        Self {
            name: &kept.stack.name,
            file: &kept.file,
            before: Some(&kept.stack),
            stays: true,
        }
    }

    fn source(&self) -> Source<'_> {
        Source {
            name: &self.file.name,
            text: &self.file.text,
            stack_name: self.name,
            before: self.before,
            stays: self.stays,
        }
    }
}
