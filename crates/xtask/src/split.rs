//! Cuts a module of WebAssembly in two: a first half, with which the program begins, and a later one, brought when a function of it is first called.
//!
//! A later function that the first half names, in a call or in a table, is a *stub* there: it asks the host for the later half, once, by the import `later.load`, and
//! calls through a slot of the function table, in which that half puts the function itself. Memory, tables, globals and data stay with the first half, which
//! lends them by its exports. So the program does not know where it is cut, and a poor choice costs time only. Binaryen's wasm-split cuts in the same way;
//! npm's binaryen is without it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    convert::Infallible,
};

use anyhow::{Context, Result, bail};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, CustomSection, ElementSection, Elements, EntityType, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction, Module, TableType, TypeSection,
    ValType,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, ElementItems, ElementKind, ExportSectionReader, ExternalKind, FunctionBody,
    FunctionSectionReader, GlobalSectionReader, ImportSectionReader, KnownCustom, MemoryType, Name, Operator, Parser,
    Payload, RefType, TypeRef, TypeSectionReader, Validator,
};

/// What the first half imports the later one from, and what the later half imports the first one as.
const LATER: &str = "later";
const FIRST: &str = "first";

/// The two modules; no later one where nothing is left for it. Neither has the names of its functions.
pub struct Halves {
    pub first: Vec<u8>,
    pub later: Option<Vec<u8>>,
}

/// Cuts `module` where `is_later` says so of its functions, by index and name. What only such functions call is later, too.
pub fn split(module: &[u8], is_later: impl Fn(u32, &str) -> bool) -> Result<Halves> {
    let parsed = Parsed::of(module).context("it is no WebAssembly that can be cut")?;
    let cut = Cut::of(&parsed, is_later)?;
    let halves = Halves { first: cut.first(module)?, later: cut.later()? };
    for half in [Some(&halves.first), halves.later.as_ref()].into_iter().flatten() {
        Validator::new().validate_all(half).context("a half of it is not valid")?;
    }
    Ok(halves)
}

/// `module` with every function telling its index to the host's `later.called` whenever it is called.
pub fn watched(module: &[u8]) -> Result<Vec<u8>> {
    let parsed = Parsed::of(module).context("it is no WebAssembly that can be watched")?;
    let mut encoded = Module::new();
    let (imported, types) = (parsed.imported as u32, parsed.types.len() as u32);
    Watched { imported, types, next: imported }.parse_core_module(&mut encoded, Parser::new(0), module)?;
    Ok(encoded.finish())
}

/// What has to be known of a module.
#[derive(Default)]
struct Parsed<'a> {
    types: Vec<wasmparser::FuncType>,
    /// How many functions are imported; they come first.
    imported: usize,
    /// The type of every function.
    functions: Vec<u32>,
    bodies: Vec<FunctionBody<'a>>,
    tables: Vec<wasmparser::TableType>,
    memories: Vec<MemoryType>,
    globals: Vec<wasmparser::GlobalType>,
    exported: Vec<u32>,
    /// The functions in tables, with their places.
    in_tables: Vec<(u32, u32)>,
    names: HashMap<u32, &'a str>,
}

impl<'a> Parsed<'a> {
    fn of(module: &'a [u8]) -> Result<Parsed<'a>> {
        let mut parsed = Parsed::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        parsed.types.push(ty?);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(ty) => parsed.functions.push(ty),
                            TypeRef::Table(ty) => parsed.tables.push(ty),
                            TypeRef::Memory(ty) => parsed.memories.push(ty),
                            TypeRef::Global(ty) => parsed.globals.push(ty),
                            ty => bail!("it imports a {ty:?}"),
                        }
                    }
                    parsed.imported = parsed.functions.len();
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        parsed.functions.push(ty?);
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        parsed.tables.push(table?.ty);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        parsed.memories.push(memory?);
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        parsed.globals.push(global?.ty);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            parsed.exported.push(export.index);
                        }
                    }
                }
                Payload::StartSection { func, .. } => parsed.exported.push(func),
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element?;
                        let (ElementItems::Functions(functions), ElementKind::Active { offset_expr, .. }) =
                            (element.items, element.kind)
                        else {
                            bail!("a table of it is filled in a way that it should not be")
                        };
                        let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
                            bail!("a table of it is filled from a place that is no number")
                        };
                        for (slot, function) in (u32::try_from(value)?..).zip(functions) {
                            parsed.in_tables.push((slot, function?));
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => parsed.bodies.push(body),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        for name in names {
                            let Name::Function(functions) = name? else { continue };
                            for naming in functions {
                                let naming = naming?;
                                parsed.names.insert(naming.index, naming.name);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// The functions that one names.
    fn named_by(&self, function: u32) -> Result<Vec<u32>> {
        let Some(body) = (function as usize).checked_sub(self.imported) else { return Ok(vec![]) };
        let mut named = Vec::new();
        for operator in self.bodies[body].get_operators_reader()? {
            match operator? {
                Operator::Call { function_index }
                | Operator::ReturnCall { function_index }
                | Operator::RefFunc { function_index } => named.push(function_index),
                _ => {}
            }
        }
        Ok(named)
    }

    fn defined(&self) -> impl Iterator<Item = u32> {
        self.imported as u32..self.functions.len() as u32
    }
}

/// What becomes of a module.
struct Cut<'p, 'a> {
    parsed: &'p Parsed<'a>,
    /// The functions of the first half.
    kept: HashSet<u32>,
    /// The slot of every later function that the first half names.
    slots: BTreeMap<u32, u32>,
    /// The functions of the first half that the later one calls.
    lent: BTreeSet<u32>,
    /// The table of functions, and the type of a function that takes and gives nothing.
    table: u32,
    nothing: u32,
}

impl<'p, 'a> Cut<'p, 'a> {
    fn of(parsed: &'p Parsed<'a>, is_later: impl Fn(u32, &str) -> bool) -> Result<Cut<'p, 'a>> {
        let said_later = |function: &u32| is_later(*function, parsed.names.get(function).copied().unwrap_or_default());
        let (mut kept, mut wanted) = (HashSet::new(), BTreeSet::new());
        let mut reached: Vec<u32> = parsed.exported.clone();
        reached.extend(parsed.in_tables.iter().map(|&(_, function)| function));
        while let Some(function) = reached.pop() {
            if said_later(&function) && function as usize >= parsed.imported {
                wanted.insert(function);
            } else if kept.insert(function) {
                reached.extend(parsed.named_by(function)?);
            }
        }
        let mut lent = BTreeSet::new();
        for function in parsed.defined().filter(|function| !kept.contains(function)) {
            let named = parsed.named_by(function)?.into_iter();
            lent.extend(named.filter(|named| kept.contains(named) || (*named as usize) < parsed.imported));
        }
        let mut tables = (0..).zip(&parsed.tables).filter(|(_, table)| table.element_type == RefType::FUNCREF);
        let (Some((table, ty)), None) = (tables.next(), tables.next()) else {
            bail!("it has no table of functions, or several")
        };
        if parsed.imported == 0 || parsed.globals.is_empty() {
            bail!("it has no imports or no globals, to which those of a first half could be added");
        }
        let first_slot = u32::try_from(ty.initial)?;
        let slots = wanted.into_iter().zip(first_slot..).collect();
        let nothing = parsed.types.iter().position(|ty| ty.params().is_empty() && ty.results().is_empty());
        let nothing = nothing.context("none of its functions takes and gives nothing")? as u32;
        Ok(Cut { parsed, kept, slots, lent, table, nothing })
    }

    fn first(&self, module: &[u8]) -> Result<Vec<u8>> {
        let imported = self.parsed.imported as u32;
        let mut place: HashMap<u32, u32> = (0..imported).map(|function| (function, function)).collect();
        // The host's `load` is the last import.
        let here = self.parsed.defined().filter(|f| self.kept.contains(f) || self.slots.contains_key(f));
        place.extend(here.zip(imported + u32::from(!self.slots.is_empty())..));
        let mut encoded = Module::new();
        First { cut: self, place }.parse_core_module(&mut encoded, Parser::new(0), module)?;
        Ok(encoded.finish())
    }

    fn later(&self) -> Result<Option<Vec<u8>>> {
        let parsed = self.parsed;
        if self.slots.is_empty() {
            return Ok(None);
        }
        let own: Vec<u32> = parsed.defined().filter(|function| !self.kept.contains(function)).collect();
        let mut half = Later { place: self.lent.iter().chain(&own).copied().zip(0..).collect() };

        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        for ty in &parsed.types {
            types.ty().func_type(&half.func_type(ty.clone())?);
        }
        for (index, &ty) in parsed.memories.iter().enumerate() {
            imports.import(FIRST, &lent("m", index), half.memory_type(ty)?);
        }
        for (index, &ty) in parsed.tables.iter().enumerate() {
            let mut ty = half.table_type(ty)?;
            if index == self.table as usize {
                ty = self.widened(ty);
            }
            imports.import(FIRST, &lent("t", index), ty);
        }
        for (index, &ty) in parsed.globals.iter().enumerate() {
            imports.import(FIRST, &lent("g", index), half.global_type(ty)?);
        }
        for &function in &self.lent {
            let ty = EntityType::Function(parsed.functions[function as usize]);
            imports.import(FIRST, &lent("f", function as usize), ty);
        }
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        for &function in &own {
            functions.function(parsed.functions[function as usize]);
            half.parse_function_body(&mut code, parsed.bodies[function as usize - parsed.imported].clone())?;
        }
        // Where a pointer led to a stub, too: one call less for what calls through it.
        let pointed = parsed.in_tables.iter().copied().filter(|(_, function)| self.slots.contains_key(function));
        let mut filling: Vec<(u32, u32)> = self.slots.iter().map(|(&function, &slot)| (slot, function)).collect();
        filling.extend(pointed);
        filling.sort_unstable();
        let mut elements = ElementSection::new();
        let table = (self.table != 0).then_some(self.table);
        for neighbours in filling.chunk_by(|(one, _), (next, _)| one + 1 == *next) {
            let functions: Vec<u32> = neighbours.iter().map(|(_, function)| half.place[function]).collect();
            elements.active(
                table,
                &ConstExpr::i32_const(neighbours[0].0 as i32),
                Elements::Functions(functions.into()),
            );
        }
        let mut encoded = Module::new();
        encoded.section(&types).section(&imports).section(&functions).section(&elements).section(&code);
        Ok(Some(encoded.finish()))
    }

    /// The table of functions with its slots for the later half.
    fn widened(&self, mut table: TableType) -> TableType {
        table.minimum += self.slots.len() as u64;
        table.maximum = table.maximum.map(|most| most + self.slots.len() as u64);
        table
    }

    /// What stands in the first half for a later function.
    fn stub(&self, function: u32) -> Function {
        let ty = self.parsed.functions[function as usize];
        let (loaded, load) = (self.parsed.globals.len() as u32, self.parsed.imported as u32);
        let mut stub = Function::new([]);
        let ask = [
            Instruction::GlobalGet(loaded),
            Instruction::I32Eqz,
            Instruction::If(BlockType::Empty),
            Instruction::Call(load),
            Instruction::I32Const(1),
            Instruction::GlobalSet(loaded),
            Instruction::End,
        ];
        let parameters = self.parsed.types[ty as usize].params().len() as u32;
        let given = (0..parameters).map(Instruction::LocalGet);
        let call = [
            Instruction::I32Const(self.slots[&function] as i32),
            Instruction::CallIndirect { type_index: ty, table_index: self.table },
            Instruction::End,
        ];
        ask.into_iter().chain(given).chain(call).for_each(|instruction| {
            stub.instruction(&instruction);
        });
        stub
    }
}

/// The name under which the first half lends something.
fn lent(kind: &str, index: usize) -> String {
    format!("{kind}{index}")
}

/// Writes the first half.
struct First<'c, 'p, 'a> {
    cut: &'c Cut<'p, 'a>,
    /// The index of a function here.
    place: HashMap<u32, u32>,
}

impl Reencode for First<'_, '_, '_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        Ok(self.place[&function])
    }

    fn table_type(&mut self, ty: wasmparser::TableType) -> Result<TableType, Error> {
        let functions = ty.element_type == RefType::FUNCREF;
        let ty = utils::table_type(self, ty)?;
        Ok(if functions { self.cut.widened(ty) } else { ty })
    }

    fn parse_import_section(&mut self, to: &mut ImportSection, from: ImportSectionReader<'_>) -> Result<(), Error> {
        utils::parse_import_section(self, to, from)?;
        if !self.cut.slots.is_empty() {
            to.import(LATER, "load", EntityType::Function(self.cut.nothing));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        to: &mut FunctionSection,
        from: FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        for (function, ty) in self.cut.parsed.defined().zip(from) {
            if self.place.contains_key(&function) {
                to.function(ty?);
            }
        }
        Ok(())
    }

    fn parse_global_section(&mut self, to: &mut GlobalSection, from: GlobalSectionReader<'_>) -> Result<(), Error> {
        utils::parse_global_section(self, to, from)?;
        if !self.cut.slots.is_empty() {
            let loaded = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
            to.global(loaded, &ConstExpr::i32_const(0));
        }
        Ok(())
    }

    fn parse_export_section(&mut self, to: &mut ExportSection, from: ExportSectionReader<'_>) -> Result<(), Error> {
        utils::parse_export_section(self, to, from)?;
        let (cut, parsed) = (self.cut, self.cut.parsed);
        if cut.slots.is_empty() {
            return Ok(());
        }
        let every = [
            ("m", ExportKind::Memory, parsed.memories.len()),
            ("t", ExportKind::Table, parsed.tables.len()),
            ("g", ExportKind::Global, parsed.globals.len()),
        ];
        for (kind, export, count) in every {
            for index in 0..count {
                to.export(&lent(kind, index), export, index as u32);
            }
        }
        for &function in &cut.lent {
            to.export(&lent("f", function as usize), ExportKind::Func, self.place[&function]);
        }
        Ok(())
    }

    fn parse_code_section(&mut self, to: &mut CodeSection, from: CodeSectionReader<'_>) -> Result<(), Error> {
        for (function, body) in self.cut.parsed.defined().zip(from) {
            if self.cut.kept.contains(&function) {
                self.parse_function_body(to, body?)?;
            } else if self.cut.slots.contains_key(&function) {
                to.function(&self.cut.stub(function));
            }
        }
        Ok(())
    }

    fn parse_custom_section(&mut self, to: &mut Module, from: CustomSectionReader<'_>) -> Result<(), Error> {
        // The names of functions are a seventh of what would be sent, and only a debugger reads them.
        if from.name() != "name" {
            to.section(&CustomSection { name: from.name().into(), data: from.data().into() });
        }
        Ok(())
    }
}

/// Writes a module whose functions tell of themselves.
struct Watched {
    imported: u32,
    types: u32,
    /// The function whose body comes next.
    next: u32,
}

impl Reencode for Watched {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        Ok(function + u32::from(function >= self.imported))
    }

    fn parse_type_section(&mut self, to: &mut TypeSection, from: TypeSectionReader<'_>) -> Result<(), Error> {
        utils::parse_type_section(self, to, from)?;
        to.ty().function([ValType::I32], []);
        Ok(())
    }

    fn parse_import_section(&mut self, to: &mut ImportSection, from: ImportSectionReader<'_>) -> Result<(), Error> {
        utils::parse_import_section(self, to, from)?;
        to.import(LATER, "called", EntityType::Function(self.types));
        Ok(())
    }

    fn parse_function_body(&mut self, to: &mut CodeSection, from: FunctionBody<'_>) -> Result<(), Error> {
        let mut body = self.new_function_with_parsed_locals(&from)?;
        body.instruction(&Instruction::I32Const(self.next as i32)).instruction(&Instruction::Call(self.imported));
        self.next += 1;
        let mut operators = from.get_operators_reader()?;
        while !operators.eof() {
            body.instruction(&self.parse_instruction(&mut operators)?);
        }
        to.function(&body);
        Ok(())
    }
}

/// Writes the bodies of the later half.
struct Later {
    /// The index of a function here.
    place: HashMap<u32, u32>,
}

impl Reencode for Later {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        Ok(self.place[&function])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{MemorySection, MemoryType, NameMap, NameSection, TableSection};
    use wasmi::{Caller, Engine, Instance, Linker, Store};

    /// A module whose function `run` takes x and gives `later::twice`(x), called by name, plus `later::square`(x), called by the table; both tell the host their x,
    /// `later::twice` by `kept::tell`, and `later::square` adds what the memory holds; `later::twice` adds a global.
    fn module() -> Vec<u8> {
        let (mut types, mut imports, mut functions) =
            (TypeSection::new(), ImportSection::new(), FunctionSection::new());
        types.ty().function([], []);
        types.ty().function([ValType::I32], [ValType::I32]);
        types.ty().function([ValType::I32], []);
        imports.import("host", "seen", EntityType::Function(2));
        [1, 2, 1, 1, 1].into_iter().for_each(|ty| {
            functions.function(ty);
        });
        let (seen, run, tell, twice, square, lonely) = (0, 1, 2, 3, 4, 5);
        let x = Instruction::LocalGet(0);
        let body = |instructions: &[Instruction<'_>]| {
            let mut body = Function::new([]);
            instructions.iter().chain([&Instruction::End]).for_each(|instruction| {
                body.instruction(instruction);
            });
            body
        };
        let word = wasm_encoder::MemArg { offset: 0, align: 2, memory_index: 0 };
        let indirect = Instruction::CallIndirect { type_index: 1, table_index: 0 };
        let bodies = [
            body(&[
                x.clone(),
                Instruction::Call(twice),
                x.clone(),
                Instruction::I32Const(0),
                indirect,
                Instruction::I32Add,
            ]),
            body(&[x.clone(), Instruction::Call(seen)]),
            body(&[
                x.clone(),
                Instruction::Call(tell),
                x.clone(),
                Instruction::Call(lonely),
                Instruction::GlobalGet(0),
                Instruction::I32Add,
            ]),
            body(&[
                x.clone(),
                Instruction::Call(seen),
                x.clone(),
                x.clone(),
                Instruction::I32Mul,
                Instruction::I32Const(8),
                Instruction::I32Load(word),
                Instruction::I32Add,
            ]),
            body(&[x.clone(), x.clone(), Instruction::I32Add]),
        ];
        let (mut tables, mut memories, mut exports) = (TableSection::new(), MemorySection::new(), ExportSection::new());
        let ty = wasm_encoder::RefType::FUNCREF;
        tables.table(TableType { element_type: ty, table64: false, minimum: 2, maximum: Some(2), shared: false });
        let memory = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
        memories.memory(memory);
        let mut globals = GlobalSection::new();
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i32_const(7));
        exports.export("run", ExportKind::Func, run);
        let (mut elements, mut code, mut data) =
            (ElementSection::new(), CodeSection::new(), wasm_encoder::DataSection::new());
        elements.active(None, &ConstExpr::i32_const(0), Elements::Functions([square, tell].as_slice().into()));
        bodies.iter().for_each(|body| {
            code.function(body);
        });
        data.active(0, &ConstExpr::i32_const(8), 1000_i32.to_le_bytes());
        let (mut names, mut of_functions) = (NameSection::new(), NameMap::new());
        let named = [
            (run, "run"),
            (tell, "kept::tell"),
            (twice, "later::twice"),
            (square, "later::square"),
            (lonely, "lonely"),
        ];
        named.into_iter().for_each(|(function, name)| of_functions.append(function, name));
        names.functions(&of_functions);
        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&tables)
            .section(&memories)
            .section(&globals);
        module.section(&exports).section(&elements).section(&code).section(&data).section(&names);
        module.finish()
    }

    /// What the host knows: the numbers it was told, how often it was asked for the later half, and the functions that told of themselves.
    #[derive(Default)]
    struct Host {
        seen: Vec<i32>,
        loads: usize,
        called: Vec<i32>,
        first: Option<Instance>,
    }

    /// Runs `first` three times, with `later` at hand: what it gives, and what the host knows then.
    fn run(first: &[u8], later: Option<Vec<u8>>) -> (Vec<i32>, Host) {
        let engine = Engine::default();
        let mut store = Store::new(&engine, Host::default());
        let mut linker = Linker::new(&engine);
        let seen = |mut caller: Caller<'_, Host>, x: i32| caller.data_mut().seen.push(x);
        linker.func_wrap("host", "seen", seen).expect("a new name");
        let load = move |mut caller: Caller<'_, Host>| {
            let later = later.as_ref().expect("a later half");
            let first = caller.data().first.expect("the first half begins before it asks");
            let mut linker = Linker::new(caller.engine());
            let lent: Vec<_> =
                first.exports(&caller).map(|export| (export.name().to_owned(), export.into_extern())).collect();
            for (name, what) in lent {
                linker.define(FIRST, &name, what).expect("a new name");
            }
            let module = wasmi::Module::new(caller.engine(), later).expect("it was validated");
            linker.instantiate_and_start(&mut caller, &module).expect("the first half lends all it wants");
            caller.data_mut().loads += 1;
        };
        linker.func_wrap(LATER, "load", load).expect("a new name");
        let called = |mut caller: Caller<'_, Host>, function: i32| caller.data_mut().called.push(function);
        linker.func_wrap(LATER, "called", called).expect("a new name");
        let module = wasmi::Module::new(&engine, first).expect("it was validated");
        let instance = linker.instantiate_and_start(&mut store, &module).expect("the host has all it wants");
        store.data_mut().first = Some(instance);
        let run = instance.get_typed_func::<i32, i32>(&store, "run").expect("it is exported");
        let given = [3, 5, -2].map(|x| run.call(&mut store, x).expect("nothing traps")).to_vec();
        (given, store.into_data())
    }

    #[test]
    fn halves_do_what_the_whole_does() {
        let whole = module();
        let halves = split(&whole, |_, name| name.starts_with("later::")).expect("it can be cut");
        let (expected, host) = run(&whole, None);
        assert_eq!((&expected, host.loads), (&vec![1022, 1042, 1007], 0));
        let (given, cut_host) = run(&halves.first, halves.later.clone());
        assert_eq!((given, cut_host.seen, cut_host.loads), (expected, host.seen, 1));

        // Only a later function calls `lonely`, so it is later, too; what the table and `later::twice` name is not.
        let parsed = Parsed::of(&whole).expect("it was written above");
        let cut = Cut::of(&parsed, |_, name| name.starts_with("later::"));
        assert_eq!(cut.map(|cut| cut.kept).expect("it can be cut"), HashSet::from([0, 1, 2]));
        for half in [&halves.first, halves.later.as_ref().expect("two of its functions are later")] {
            assert!(!half.windows(4).any(|word| word == b"name"), "the names of functions are not sent");
        }
    }

    #[test]
    fn functions_tell_of_themselves() {
        let (given, host) = run(&watched(&module()).expect("it can be watched"), None);
        assert_eq!(given, run(&module(), None).0);
        assert_eq!(host.called[..host.called.len() / 3], [1, 3, 2, 5, 4], "in the order in which they are called");
    }

    #[test]
    fn what_has_no_later_function_stays_whole() {
        let whole = module();
        let halves = split(&whole, |_, _| false).expect("it can be cut");
        assert!(halves.later.is_none());
        assert_eq!(run(&halves.first, None).0, run(&whole, None).0);
        assert!(split(b"<html>", |_, _| false).is_err());
    }
}
