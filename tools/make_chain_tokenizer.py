#!/usr/bin/env python3
"""Writes assets/chain: the byte-level tokenizer of the built-in chain task (264 tokens: 256 bytes, 4 special tokens, 4 tags
that carry their line ends), as tokenizer.json and tokenizer_config.json.     usage: make_chain_tokenizer.py [FOLDER]"""
import json
import pathlib
import sys

SPECIAL = ["<|pad|>", "<|im_end|>", "<|user|>", "<|assistant|>"]
TAGS = ["<think>\n", "\n</think>\n", "<answer>\n", "\n</answer>"]
TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' %}"
    "{{- '<|assistant|>' }}{%- generation %}{{- message.content + '<|im_end|>' }}{%- endgeneration %}"
    "{%- elif message.role == 'user' %}{{- '<|user|>' + message.content }}"
    "{%- else %}{{- raise_exception('the chain template knows the roles user and assistant only, not ' + message.role) }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)


def byte_characters():
    """GPT-2's printable stand-ins: byte -> character."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            characters[byte] = chr(byte)
        else:
            characters[byte] = chr(256 + extra)
            extra += 1
    return characters


def added_token(content, special):
    return dict(content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=special)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "assets" / "chain")
    folder.mkdir(parents=True, exist_ok=True)
    added = [(256 + i, added_token(text, text in SPECIAL)) for i, text in enumerate(SPECIAL + TAGS)]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
    tokenizer = dict(
        version="1.0", truncation=None, padding=None, added_tokens=[dict(id=i, **token) for i, token in added], normalizer=None,
        pre_tokenizer=byte_level, post_processor=None, decoder=byte_level,
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=False,
                   byte_fallback=False, ignore_merges=False, vocab={c: b for b, c in byte_characters().items()}, merges=[]))
    config = dict(
        added_tokens_decoder={str(i): token for i, token in added}, bos_token=None, chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False, eos_token="<|im_end|>", model_max_length=512, pad_token="<|pad|>",
        tokenizer_class="PreTrainedTokenizerFast", unk_token=None)
    for name, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
