"""Computes PEFT's starts of one square layer: reads the name of a scheme, answers with seconds. The peer of bench/starts.rs."""

import sys
import time

# Run as a script, a file beside this one would otherwise be what `import peft` finds.
sys.path.pop(0)

try:
    import peft
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora.config import CordaConfig
    from peft.tuners.lora.corda import collect_eigens_for_layer
    from peft.utils.incremental_pca import IncrementalPCA
except ImportError as error:
    print(f"this Python has no {error.name}", flush=True)
    sys.exit()


def main():
    device, (width, rank, threads) = sys.argv[1], map(int, sys.argv[2:5])
    if device == "cuda" and not torch.cuda.is_available():
        print("its PyTorch finds no CUDA GPU", flush=True)
        sys.exit()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    fall = torch.randn(width, width) / torch.arange(1, width + 1).sqrt()
    weight = fall @ torch.randn(width, width).T
    weight, rows = weight.to(device), torch.randn(512, width, device=device)
    # What a GPU was told is done only when it says so.
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def layer():
        module = torch.nn.Sequential(torch.nn.Linear(width, width, bias=False, device=device))
        module[0].weight.data = weight.clone()
        return module

    def seconds(scheme):
        if scheme == "eva":
            # What EVA does with a batch; it takes several to converge.
            wait()
            began = time.perf_counter()
            IncrementalPCA(2 * rank, lowrank=True, lowrank_seed=42).partial_fit(rows)
            wait()
            return time.perf_counter() - began
        model = layer()
        names = {"pissa": "pissa", "pissa-niter-4": "pissa_niter_4", "olora": "olora", "corda-ipm": "corda"}
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["0"], init_lora_weights=names[scheme])
        if scheme == "corda-ipm":
            config.corda_config = CordaConfig(corda_method="ipm")
            linear = model[0]
            linear.corda_method, linear.rank = "ipm", rank
            linear.covariance_matrix = weight.T @ weight
            wait()
            began = time.perf_counter()
            with torch.no_grad():
                linear.eigens = collect_eigens_for_layer(linear, config)
            wait()
            return time.perf_counter() - began
        wait()
        began = time.perf_counter()
        get_peft_model(model, config)
        wait()
        return time.perf_counter() - began

    print(f"ready: PEFT {peft.__version__}, torch {torch.__version__}, {threads} threads", flush=True)
    for line in sys.stdin:
        print(seconds(line.strip()), flush=True)


if __name__ == "__main__":
    main()
