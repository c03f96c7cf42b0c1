"""Makes the files in fixtures/: small GGUF files of each architecture, and blocks of each quantised type with their values, for gguf.rs.

Needs: pip install gguf safetensors. Run from anywhere: python crates/checkpoint/tests/make_gguf.py
Never needed to build, run or test loralab.

A tensor's element at (row, column) is what `element` says of its Hugging Face name; gguf.rs has the same function. The changes are those of llama.cpp's
convert_hf_to_gguf.py: `permute` for queries and keys of llama, 1 added to the norms of gemma. Blocks are random bytes under finite scales; their values are
those of the gguf package, whose tests hold it to ggml.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, quants
from safetensors.numpy import save_file

FIXTURES = Path(__file__).parent / "fixtures"
VOCABULARY, WIDTH, HEADS, KV_HEADS, HEAD, FEED_FORWARD = 12, 32, 2, 1, 16, 24
THETA = 5e5
# Where the f16 scales of a block begin.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def element(name, shape):
    rows, columns = np.indices(shape if len(shape) == 2 else (1, *shape))
    values = ((rows * 7 + columns * 3 + sum(name.encode())) % 64 - 32) / 32
    return values.astype(np.float32).reshape(shape)


def permute(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def factors(factor):
    """Llama 3's divisors of the rotary frequencies, as the converter computes them."""
    wavelengths = 2 * np.pi * THETA ** (np.arange(0, HEAD, 2) / HEAD)
    smooth = (8192 / wavelengths - 1) / (4 - 1)
    middle = 1 / ((1 - smooth) / factor + smooth)
    return np.where(wavelengths < 2048, 1, np.where(wavelengths > 8192, factor, middle)).astype(np.float32)


def tensors(architecture, tied):
    """GGUF's name, Hugging Face's name and shape of each tensor."""
    gemma = architecture.startswith("gemma")
    yield "token_embd", "model.embed_tokens", (VOCABULARY, WIDTH)
    yield "output_norm", "model.norm", (WIDTH,)
    if not tied:
        yield "output", "lm_head", (VOCABULARY, WIDTH)
    for layer in range(2):
        def inside(gguf, name, shape):
            return f"blk.{layer}.{gguf}", f"model.layers.{layer}.{name}", shape
        yield inside("attn_norm", "input_layernorm", (WIDTH,))
        yield inside("attn_q", "self_attn.q_proj", (HEADS * HEAD, WIDTH))
        yield inside("attn_k", "self_attn.k_proj", (KV_HEADS * HEAD, WIDTH))
        yield inside("attn_v", "self_attn.v_proj", (KV_HEADS * HEAD, WIDTH))
        yield inside("attn_output", "self_attn.o_proj", (WIDTH, HEADS * HEAD))
        if architecture in ("qwen3", "gemma3"):
            yield inside("attn_q_norm", "self_attn.q_norm", (HEAD,))
            yield inside("attn_k_norm", "self_attn.k_norm", (HEAD,))
        yield inside("ffn_norm", "pre_feedforward_layernorm" if gemma else "post_attention_layernorm", (WIDTH,))
        yield inside("ffn_gate", "mlp.gate_proj", (FEED_FORWARD, WIDTH))
        yield inside("ffn_up", "mlp.up_proj", (FEED_FORWARD, WIDTH))
        yield inside("ffn_down", "mlp.down_proj", (WIDTH, FEED_FORWARD))
        if gemma:
            yield inside("post_attention_norm", "post_attention_layernorm", (WIDTH,))
            yield inside("post_ffw_norm", "post_feedforward_layernorm", (WIDTH,))


def write(file, architecture, dtype, tied, split=0):
    writer = GGUFWriter(FIXTURES / file, architecture, split_max_tensors=split)
    writer.add_name("fixture")
    writer.add_context_length(32)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(2)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token {index}" for index in range(VOCABULARY)])
    writer.add_token_types([1] * VOCABULARY)
    if architecture == "llama":
        writer.add_rope_freq_base(THETA)
        writer.add_rope_dimension_count(HEAD)
        writer.add_tensor("rope_freqs.weight", factors(32.0) if not tied else factors(32.0)[::-1].copy())
    else:
        writer.add_rope_freq_base(1e6)
        writer.add_key_length(HEAD)
        writer.add_value_length(HEAD)
    if architecture.startswith("gemma"):
        writer.add_sliding_window(8)
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(50.0)
        writer.add_final_logit_softcapping(30.0)
    for gguf, name, shape in tensors(architecture, tied):
        values = element(f"{name}.weight", shape)
        if architecture == "llama" and gguf.endswith("attn_q"):
            values = permute(values, HEADS)
        if architecture == "llama" and gguf.endswith("attn_k"):
            values = permute(values, KV_HEADS)
        if architecture.startswith("gemma") and gguf.endswith("norm"):
            values = values + 1
        stored = GGMLQuantizationType.F32 if len(shape) == 1 else dtype
        writer.add_tensor(f"{gguf}.weight", quants.quantize(values, stored), raw_dtype=stored)
        if architecture == "qwen2" and gguf[6:] in ("attn_q", "attn_k", "attn_v"):
            writer.add_tensor(f"{gguf}.bias", element(f"{name}.bias", shape[:1]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def blocks():
    draws = np.random.default_rng(0)
    stored = {}
    for name, places in SCALES.items():
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        count = 4 if elements == 256 else 8
        raw = draws.integers(0, 256, (count, size), dtype=np.uint8)
        for place in places:
            raw[:, place:place + 2] = draws.normal(0, 0.02, (count, 1)).astype(np.float16).view(np.uint8)
        stored[f"{name}.blocks"] = raw
        stored[f"{name}.values"] = quants.dequantize(raw, kind).astype(np.float32)
    save_file(stored, FIXTURES / "blocks.safetensors")


if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    F32, F16, BF16 = GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16
    write("llama.gguf", "llama", F16, tied=False)
    write("rotary.gguf", "llama", F16, tied=True)
    write("qwen2.gguf", "qwen2", F32, tied=True)
    write("qwen3.gguf", "qwen3", BF16, tied=True)
    write("gemma2.gguf", "gemma2", F16, tied=True)
    write("gemma3.gguf", "gemma3", F16, tied=True, split=10)
    blocks()
    (FIXTURES / "blocks.safetensors").chmod(0o644)
