"""Puts a start that `loralab init` wrote into a transformers model, so that PEFT trains it as loralab does."""

import json
import weakref
from pathlib import Path

try:
    import torch
    from peft import PeftModel, get_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer
    from safetensors import SafetensorError, safe_open
    from torch.optim.optimizer import register_optimizer_step_post_hook
except ImportError as error:
    raise ImportError(f"The module loralab needs PEFT: {error}. Install it with `pip install peft`.") from error

__all__ = ["load_start"]

# As crates/core/src/lab/residual.rs and crates/core/src/lora/peft have them.
RESIDUAL, QUANTISED = ", less the starting adapter", "quantised_base"


def load_start(model, folder):
    """Returns a PeftModel: the transformers model `model` with the adapter in `folder`, ready to train.

    It trains as in loralab, with any optimiser of torch. The frozen half of a start of twice the rank gets no gradient, and is put back after each step,
    since weight decay moves what has no gradient too. B of a start by MiCA is frozen. A base beside the start replaces the weights of `model`.

    Raises FileNotFoundError if a file is missing, and ValueError if the start cannot be read or is not one of this model.
    """
    folder = Path(folder)
    settings, start, metadata = _read_adapter(folder)
    if any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        raise ValueError("The model has an adapter already. Give load_start a transformers model without one.")
    base, meant = folder / "base.safetensors", settings.get("base_model_name_or_path") or ""
    own = f"Load the model that the start was computed for, `{meant.removesuffix(RESIDUAL) or 'unnamed'}`."
    _check_modules(model, start, own)
    if base.is_file():
        _load_base(model, base, own)
    elif meant.endswith(RESIDUAL) or not json.loads(metadata.get(QUANTISED, '{"whole": true}')).get("whole"):
        raise FileNotFoundError(f"The start belongs to a base of its own, but `{base}` is missing. Copy the whole folder that `loralab init` wrote.")
    model = PeftModel.from_pretrained(model, folder, is_trainable=True)
    if other := set(get_peft_model_state_dict(model)) ^ set(start):
        raise ValueError(f"PEFT and the start in `{folder}` do not put adapters on the same modules: only one has `{min(other)}`. {own}")
    mica, halved = settings.get("init_lora_weights") == "mica", _has_frozen_half(folder, start)
    for name, parameter in model.named_parameters():
        if mica and "lora_B" in name:
            parameter.requires_grad_(False)
        elif halved and "lora_" in name:
            _freeze_half(parameter, _rank_axis(name))
    return model


def _read_adapter(folder):
    config, tensors = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    for file in (config, tensors):
        if not file.is_file():
            raise FileNotFoundError(f"There is no `{file}`. Give load_start a folder that `loralab init` wrote.")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"`{config}` is not JSON: {error}. Write the start again.") from error
    return settings, *_read_tensors(tensors)


def _read_tensors(path):
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"`{path}` cannot be read: {error}. It may be cut off; copy it again.") from error


def _check_modules(model, start, own):
    """Refuses a start of another model before PEFT changes this one."""
    modules = dict(model.named_modules())
    for name, tensor in start.items():
        module = name.removeprefix("base_model.model.").rpartition(".lora_")[0]
        if module not in modules:
            raise ValueError(f"The start has an adapter for `{module}`, which the model does not have. {own}")
        # transformers has linear layers of two kinds.
        axis, linear, conv1d = (0, "out_features", "nf") if _rank_axis(name) else (1, "in_features", "nx")
        needed = getattr(modules[module], linear, getattr(modules[module], conv1d, None))
        if tensor.shape[axis] != needed:
            raise ValueError(f"`{name}` is {tuple(tensor.shape)}, but the model's layer needs {needed} on axis {axis}. {own}")


def _load_base(model, path, own):
    """Puts the base beside a start into the model, all of it or nothing."""
    tensors, parameters = _read_tensors(path)[0], dict(model.named_parameters())
    if other := set(tensors) ^ set(parameters):
        raise ValueError(f"`{path}` is the base of another model: only one of them has `{min(other)}`. {own}")
    for name, tensor in tensors.items():
        has = parameters[name]
        if has.shape != tensor.shape:
            raise ValueError(f"`{name}` is {tuple(tensor.shape)} in `{path}`, but {tuple(has.shape)} in the model. {own}")
        if has.is_meta or torch.promote_types(has.dtype, tensor.dtype) != has.dtype:
            raise ValueError(f"The model cannot hold the {tensor.dtype} of `{name}` in `{path}`; load it whole, with dtype=torch.float32.")
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def _rank_axis(name):
    return int("lora_B" in name)


def _has_frozen_half(folder, start):
    """True if the second half of every pair takes the first one's product out again, or did so before the adapter was trained."""
    def mirrors(name, tensor):
        first, second = tensor.tensor_split(2, _rank_axis(name))
        return torch.equal(first, -second if _rank_axis(name) else second)

    card = folder / "README.md"
    said = card.is_file() and "def freeze_half" in card.read_text(encoding="utf-8", errors="replace")
    return said or all(mirrors(name, tensor) for name, tensor in start.items())


def _freeze_half(parameter, axis):
    """Does as the lines in the README.md of a start do, without keeping the parameter alive."""
    kept, weak = parameter.detach().tensor_split(2, axis)[1].clone(), weakref.ref(parameter)

    def mask(gradient):
        first, second = gradient.tensor_split(2, axis)
        return torch.cat([first, torch.zeros_like(second)], axis)

    def put_back(*_):
        nonlocal kept
        if (alive := weak()) is not None:
            kept = kept.to(alive.device)
            alive.data.tensor_split(2, axis)[1].copy_(kept)

    parameter.register_hook(mask)
    weakref.finalize(parameter, register_optimizer_step_post_hook(put_back).remove)
