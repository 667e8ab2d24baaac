//! The phases, one after the other, for all templates together: syntax and types, then references (which makes the
//! resources and so finds what is wrong with their meaning). Each shows all its errors; the next begins only when there
//! are none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostic::{Diagnostics, Position, Report, finish_phase};
use super::document::{self, Document};
use super::evaluate::Scope;
use super::exports::Exports;
use super::making::Loader;
use super::node::quote;
use super::region::{self, Zone};
use super::{Options, Running, Source, Stack, Stacks, leaving, parameters, parse, types};
use crate::control::{ControlState, Owner};

/// Makes a stack of each template, all in one control state.
///
/// # Errors
/// All errors of the first phase that has any.
pub fn load(sources: &[Source], options: &Options) -> Result<Stacks, Diagnostics> {
    let (documents, mut reports) = read(sources);
    let (owner, prepared) = prepare(sources, &documents, options, &mut reports)?;
    let state = ControlState::new(owner);
    make(sources, prepared, &[], state, options, &mut reports)
}

/// The templates of all stacks once more, some of them changed, others gone: what is to take the place of `running`, and the
/// base of the next time.
///
/// # Errors
/// As [`load`]; or what is asked for is not allowed in the state in which something is.
pub fn succeed(
    sources: &[Source],
    options: &Options,
    running: &Running,
) -> Result<(Stacks, ControlState), Diagnostics> {
    let region = Some(running.state.owner().region().to_owned());
    let options = Options {
        region,
        ..options.clone()
    };
    let (documents, mut reports) = read(sources);
    let (_, prepared) = prepare(sources, &documents, &options, &mut reports)?;
    let mut beside = Report::new("", "");
    leaving::check(running, &prepared, &mut beside, &mut reports);
    finish_phase(std::iter::once(&mut beside).chain(&mut reports))?;
    let mut make = |prepared: Vec<_>, state| {
        make(
            sources,
            prepared,
            running.stacks,
            state,
            &options,
            &mut reports,
        )
    };
    let state = ControlState::successor(running.state, None);
    let mut next = make(prepared.clone(), state)?;
    let next_base = next.state.clone();
    if !next_base.has_addresses_of(running.state) {
        // Once more, now that it is known what survives: before that, what is new takes an address.
        let state = ControlState::successor(running.state, Some(&next_base));
        next = make(prepared, state)?;
    }
    let succeeded = next.state.succeed(running.state, running.base);
    succeeded.map_err(|errors| Diagnostics::whole(errors.iter().map(ToString::to_string)))?;
    Ok((next, next_base))
}

/// The first phase. Its errors are shown with those of the second, as far as that comes.
fn read<'s>(sources: &[Source<'s>]) -> (Vec<Option<Arc<Document>>>, Vec<Report<'s>>) {
    let reports = sources.iter().map(|s| Report::new(s.name, s.text));
    let mut reports: Vec<_> = reports.collect();
    stack_names(sources, &mut reports);
    let documents = sources.iter().zip(&mut reports);
    let documents = documents.map(|(s, report)| syntax(s, report)).collect();
    (documents, reports)
}

/// The third phase, which begins with `state`; the stacks `before` are what runs.
fn make<'s>(
    sources: &'s [Source<'s>],
    prepared: Vec<Prepared<'s>>,
    before: &[&Stack],
    mut state: ControlState,
    options: &Options,
    reports: &mut [Report<'s>],
) -> Result<Stacks, Diagnostics> {
    state.advance(options.now);
    let stacks = sources.iter().zip(prepared).zip(&mut *reports).enumerate();
    let mut loaders: Vec<_> = stacks
        .map(|(place, ((source, prepared), report))| Loader::new(place, source, prepared, report))
        .collect();
    let exports = references(&mut loaders, before, &mut state);
    let list = loaders.into_iter().map(|loader| loader.finish(&exports));
    let list = list.collect();
    finish_phase(reports)?;
    Ok(Stacks { state, list })
}

/// A template of which all is known but what its resources become.
#[derive(Clone)]
pub(super) struct Prepared<'l> {
    pub(super) document: &'l Arc<Document>,
    pub(super) scope: Scope,
    pub(super) owner: Owner,
    pub(super) parameters: BTreeMap<String, String>,
}

/// Two templates cannot be one stack.
fn stack_names(sources: &[Source], reports: &mut [Report]) {
    let mut names = BTreeMap::new();
    for (source, report) in sources.iter().zip(reports) {
        if let Some(first) = names.insert(source.stack_name, source.name) {
            let message = format!(
                "the stack {} is that of {first} already",
                quote(source.stack_name)
            );
            let help = match first == source.name {
                true => "the file was given twice",
                false => "a stack is called like its file: rename one of them",
            };
            report.error_with_help(Position::START, "", message, help);
        }
    }
}

/// A template without errors of syntax.
fn syntax(source: &Source, report: &mut Report) -> Option<Arc<Document>> {
    if let Some(stack) = source.before.filter(|_| source.stays) {
        return Some(Arc::clone(&stack.document));
    }
    let before = report.count();
    let root = parse::parse(source.text, report);
    let document = root.and_then(|root| document::read(root, report));
    let document = document.filter(|_| report.count() == before);
    document.map(Arc::new)
}

/// The second phase, for the templates that have come through the first; then the errors of both.
fn prepare<'l>(
    sources: &[Source],
    documents: &'l [Option<Arc<Document>>],
    options: &Options,
    reports: &mut [Report],
) -> Result<(Owner, Vec<Prepared<'l>>), Diagnostics> {
    let mut beside = Report::new("", "");
    let prepared = prepare_all(sources, documents, options, &mut beside, reports);
    finish_phase(std::iter::once(&mut beside).chain(reports))?;
    prepared.ok_or_else(|| Diagnostics::whole(["the templates have no owner".to_owned()]))
}

fn prepare_all<'l>(
    sources: &[Source],
    documents: &'l [Option<Arc<Document>>],
    options: &Options,
    beside: &mut Report,
    reports: &mut [Report],
) -> Option<(Owner, Vec<Prepared<'l>>)> {
    let given = parameters::distribute(&options.parameters, sources, documents, beside);
    let values: Vec<_> = documents
        .iter()
        .zip(&given)
        .zip(&mut *reports)
        .map(|((document, given), report)| {
            let parameters = &document.as_ref()?.parameters;
            Some(parameters::resolve(parameters, given, report))
        })
        .collect();
    let zones: Vec<_> = documents
        .iter()
        .zip(&values)
        .map(|(document, values)| Zone::first(document.as_ref()?, values.as_ref()?))
        .collect();
    let region = region::choose(options, &zones, reports);
    let owner = region::owner(&region, options, beside);
    let all = documents.iter().zip(values).zip(given);
    let all = all.zip(sources).zip(reports);
    let prepared: Vec<_> = all
        .map(|((((document, values), parameters), source), report)| {
            let document = document.as_ref()?;
            let (scope, owner) =
                types::check(document, values?, &region, source.stack_name, report)?;
            Some(Prepared {
                document,
                scope,
                owner,
                parameters,
            })
        })
        .collect();
    Some((owner?, prepared.into_iter().collect::<Option<_>>()?))
}

/// The third phase: what stacks export, what they refer to, then the stacks, each after those from which it imports.
fn references(loaders: &mut [Loader], before: &[&Stack], state: &mut ControlState) -> Exports {
    let names = loaders.iter().map(|loader| loader.stack_name().to_owned());
    let mut exports = Exports::new(names.collect(), before);
    for loader in &mut *loaders {
        loader.declare_exports(&mut exports);
    }
    for loader in &mut *loaders {
        loader.check_names(&exports);
    }
    let imports: Vec<_> = loaders
        .iter()
        .map(|loader| loader.imports.clone())
        .collect();
    let order = exports.order(&imports, loaders.iter_mut().map(Loader::report));
    // Those of a circle too, as far as they come: one run shows all errors.
    let rest: Vec<_> = (0..loaders.len()).filter(|i| !order.contains(i)).collect();
    let mut values = BTreeMap::new();
    for place in order.into_iter().chain(rest) {
        if let Some(loader) = loaders.get_mut(place) {
            loader.make_all(state, &mut values);
        }
    }
    exports
}
