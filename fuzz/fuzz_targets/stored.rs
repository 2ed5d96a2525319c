//! Any bytes as what is read from files: log records, encoded columns, catalog records. Must be refused
//! or decoded, never panic, never take memory out of proportion.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringtail::catalog::record;
use ringtail::codec::chunk;
use ringtail::shard::log::Record;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while !rest.is_empty() && Record::get(&mut rest).is_ok() {}
    let _ = record::decode(data);
    if let Ok(reader) = chunk::Reader::open(data) {
        let mut column = ringtail::model::Column::empty(ringtail::model::ColumnId::new(
            ringtail::model::FieldNo(1),
            reader.kind(),
        ));
        let _ = reader.decode(0..reader.pages(), &mut column);
    }
});
