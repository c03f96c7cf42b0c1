"""Times training steps of PyTorch + PEFT on a Hugging Face folder: `python peft_model.py FOLDER BATCH TOKENS THREADS STEPS`.

Prints the median and least seconds of a step, and the process's peak memory. The first two steps are not counted.
"""

import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

folder, (batch, tokens, threads, steps) = sys.argv[1], map(int, sys.argv[2:6])
torch.set_num_threads(threads)
classifies = AutoConfig.from_pretrained(folder).model_type in ("bert", "roberta", "xlm-roberta")
kind = AutoModelForSequenceClassification if classifies else AutoModelForCausalLM
model = kind.from_pretrained(folder, dtype=torch.float32, **({"num_labels": 2} if classifies else {}))
task = "SEQ_CLS" if classifies else "CAUSAL_LM"
model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type=task))
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4)
generator = torch.Generator().manual_seed(0)
times = []
for _ in range(steps + 2):
    ids = torch.randint(5, model.config.vocab_size, (batch, tokens), generator=generator)
    labels = torch.randint(0, 2, (batch,), generator=generator) if classifies else ids
    began = time.time()
    model(input_ids=ids, labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.time() - began)
times = sorted(times[2:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{times[len(times) // 2]:.3f} s a step, at least {times[0]:.3f}; {peak:.0f} MB")
