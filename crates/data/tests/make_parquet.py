"""Makes the files in fixtures/: small Parquet files, each with the same rows as JSON lines beside it, for parquet.rs.

Needs: pip install pyarrow. Run from anywhere: python crates/data/tests/make_parquet.py
Never needed to build, run or test loralab.

Each file has another shape of records and another way of storing them: codec, version of the pages, encoding, groups of rows. `refused-*` are stored in
ways that loralab does not read.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIXTURES = Path(__file__).parent / "fixtures"
WORDS = ["so", "no", "yes, \"really\"", "größer", "二", "a\nb", "", "end"]


def write(name, rows, schema, twin=True, **options):
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), FIXTURES / f"{name}.parquet", **options)
    if twin:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (FIXTURES / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def word(i):
    return WORDS[i % len(WORDS)] + str(i)


def fields(**types):
    return pa.schema(list(types.items()))


pairs = [{"id": i, "prompt": f"{word(i)}?", "completion": word(i + 3)} for i in range(30)]
pair = fields(id=pa.int64(), prompt=pa.string(), completion=pa.string())
write("pairs", pairs, pair, compression="snappy", row_group_size=12)

message = pa.struct([("role", pa.string()), ("content", pa.string()), ("name", pa.string())])
chats = [
    {
        "messages": [{"role": "user", "content": f"{word(i + turn)}?", "name": None if i % 2 else "Ann"} if turn % 2 == 0
                     else {"role": "assistant", "content": f"{word(i * turn)}.", "name": None} for turn in range(2 + 2 * (i % 3))],
        "tags": [[word(j)] * j for j in range(i % 3)],
        "source": None if i % 4 else {"site": "a", "scores": [0.5, 1.0]},
    }
    for i in range(24)
]
source = pa.struct([("site", pa.string()), ("scores", pa.list_(pa.float64()))])
write("chats", chats, fields(messages=pa.list_(message), tags=pa.list_(pa.list_(pa.string())), source=source), compression="gzip", row_group_size=10)

instructions = [
    {"instruction": f"Say {word(i)}.", "input": [None, "", word(i)][i % 3], "output": f"{word(i)}!", "text": "all of it"} for i in range(12)
]
write("instructions", instructions, fields(instruction=pa.string(), input=pa.string(), output=pa.string(), text=pa.string()), compression="lz4")

questions = [{"question": f"{i} + {i}?", "answer": f"It is {2 * i}.\n#### {2 * i}"} for i in range(12)]
write("questions", questions, fields(question=pa.large_string(), answer=pa.large_string()), compression="none", data_page_version="2.0")

sentences = [{"sentence": f"{word(i)} film", "label": i % 2, "idx": i} for i in range(16)]
write("sentences", sentences, fields(sentence=pa.dictionary(pa.int32(), pa.string()), label=pa.int8(), idx=pa.int32()), compression="snappy", data_page_version="2.0")

scores = [{"sentence1": word(i), "sentence2": word(i + 1), "label": [0.0, 3.8, 4.25, 1.1][i % 4]} for i in range(16)]
write("scores", scores, fields(sentence1=pa.string(), sentence2=pa.string(), label=pa.float32()), compression="snappy", use_byte_stream_split=["label"], use_dictionary=["sentence1"])

texts = [{"text": f"{word(i)} and so on", "url": f"https://example.org/{i}"} for i in range(10)]
write("texts", texts, fields(text=pa.binary(), url=pa.string()), compression="snappy")

renamed = [{"ask": f"{word(i)}?", "reply": word(i + 1), "when": i} for i in range(10)]
write("renamed", renamed, fields(ask=pa.string(), reply=pa.string(), when=pa.timestamp("us")), compression="gzip", data_page_version="2.0")

few = pairs[:4]
write("refused-zstd", few, pair, twin=False, compression="zstd")
write("refused-brotli", few, pair, twin=False, compression="brotli")
write("refused-delta", few, pair, twin=False, use_dictionary=False, column_encoding={"id": "PLAIN", "prompt": "DELTA_BYTE_ARRAY", "completion": "DELTA_LENGTH_BYTE_ARRAY"})
