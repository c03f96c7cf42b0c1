"""The same training as `cargo xtask bench` does, in PyTorch + PEFT: started by it, and never needed to build, run or test loralab.

    python peft.py BASE THREADS DEVICE RUNS        needs: pip install torch peft transformers safetensors

Says what it is in one line. Then, for each line `RUNS STEPS` on its input, trains that many runs one after the other, and for each line
`product N` multiplies N × N by N × N in f32; it answers with the seconds it took. Batches are made beforehand; forward, loss, backward, clipping,
optimiser and zero_grad are timed, on a GPU until it is done.
"""

import sys

# Run as a script, this file would otherwise be what `import peft` finds.
sys.path.pop(0)

try:
    import peft
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as error:
    print(f"this Python can't take part: {error}")
    sys.exit()

import json
import struct
import time
from pathlib import Path

SEQUENCES, TOKENS, RANK, ALPHA, LEARNING_RATE = 8, 64, 8, 16, 1e-3
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# PyTorch has three AdamWs; the fastest one here is used.
ADAMW = {"for-loop": dict(foreach=False, fused=False), "foreach": dict(foreach=True), "fused": dict(fused=True)}


class Run:
    def __init__(self, base, adamw, device):
        with open(base, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            sizes = json.loads(json.loads(file.read(length))["__metadata__"]["config"])
        config = transformers.LlamaConfig(**sizes, attn_implementation="sdpa", use_cache=False)
        model = transformers.LlamaForCausalLM(config)
        model.load_state_dict({name: tensor.float() for name, tensor in load_file(base).items()}, strict=False)
        model.tie_weights()
        lora = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=MODULES)
        self.model = peft.get_peft_model(model, lora).train().to(device)
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, weight_decay=0.0, **ADAMW[adamw])

    def train(self, batches, steps):
        for step in range(steps):
            tokens, targets = batches[step % len(batches)]
            logits = self.model(input_ids=tokens).logits
            loss = torch.nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()


def seconds(work, device):
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def product(n, device):
    left, right = (torch.randn(n, n, device=device) for _ in range(2))
    seconds(lambda: left @ right, device)
    # Enough of them that the clock's grain and the launch don't show.
    times = max(3, int(2e-2 / seconds(lambda: left @ right, device)))
    return seconds(lambda: [left @ right for _ in range(times)], device) / times


def main():
    base, threads, device, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    if device == "cuda" and not torch.cuda.is_available():
        print("this Python can't take part: its PyTorch finds no CUDA GPU")
        sys.exit()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    text = torch.tensor(list(Path(__file__).read_bytes()))
    starts = torch.randint(len(text) - TOKENS, (32, SEQUENCES))
    windows = [torch.stack([text[start : start + TOKENS + 1] for start in row]) for row in starts.tolist()]
    batches = [(window[:, :-1].contiguous().to(device), window[:, 1:].contiguous().to(device)) for window in windows]

    trials = {adamw: Run(base, adamw, device) for adamw in ADAMW}
    taken = {adamw: [] for adamw in ADAMW}
    for _ in range(6):
        for adamw, run in trials.items():
            taken[adamw].append(seconds(lambda: run.train(batches, 5), device))
    adamw = min(ADAMW, key=lambda adamw: min(taken[adamw]))
    runs = [Run(base, adamw, device) for _ in range(count)]

    versions = f"torch {torch.__version__}, peft {peft.__version__}, transformers {transformers.__version__}"
    place = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"ready: {versions}; {place}, f32, sdpa, AdamW {adamw}", flush=True)
    for line in sys.stdin:
        first, last = line.split()
        if first == "product":
            print(product(int(last), device), flush=True)
        else:
            print(seconds(lambda: [run.train(batches, int(last)) for run in runs[: int(first)]], device), flush=True)


main()
