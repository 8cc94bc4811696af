#!/usr/bin/env python3
"""Writes template_cases.jsonl: small templates with what Jinja2 itself renders (or that it raises), set up as transformers
sets it up for chat templates. Run with jinja2 3.1 installed: make_template_cases.py > template_cases.jsonl"""
import json
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment

CONTEXT = {
    "messages": [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "2+2? \u00e9\U0001f600", "n": 3},
        {"role": "assistant", "content": "<think>a</think>4", "n": 1.5, "ok": True, "none": None},
    ],
    "tools": None, "text": "Hello, World", "empty": "", "nine": 9, "items": {"b": 1, "a": [1, 2]},
}
TEMPLATES = r'''
{{ messages[0].content | trim }}|{{ messages[-1]['role'] }}|{{ messages[5] }}|{{ messages[1].missing }}
{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ m.role }};{% endfor %}
{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }}{% else %}none{% endfor %}
{% for x in [] %}a{% else %}empty{% endfor %}
{% for k, v in items.items() %}{{ k }}={{ v }},{% endfor %}{% for k in items %}{{ k }}{% endfor %}{{ items | items | list }}
{% set ns = namespace(a=1, b='x') %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% set c = i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ c is defined }}
{% set x = 1 %}{% for i in range(2) %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1e16 }} {{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1e-7 }} {{ 10 ** 15 }}
{{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1] + [2, 3] }} {{ (1, 'b') }} {{ (1,) }} {{ {'a': none, 'b': [true, 1.5]} }}
{{ 'a' in 'abc' }} {{ 'z' not in 'abc' }} {{ 1 in [1, 2] }} {{ 'b' in items }} {{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ none == false }} {{ 1 == 1.0 }} {{ true == 1 }}
{{ not false and true or false }} {{ '' or 'x' }} {{ 'a' and 'b' }} {{ 1 if false }}|{{ 1 if true else 2 }}|{{ 'y' if 0 else 'n' }}
{{ text[0] }}{{ text[-1] }}{{ text[1:4] }}{{ text[::-1] }}{{ text[::2] }}{{ text[-5:] }}{{ messages[1].content[-1] }}{{ [1,2,3,4][1:] }}{{ [1,2,3][:-1] }}{{ [1,2,3][::-1] }}{{ 'abc'[10:] }}|{{ 'abc'[5] }}
{{ text.upper() }} {{ text.lower() }} {{ text.title() }} {{ text.capitalize() }} {{ text.replace('l', 'L') }} {{ text.replace('l', 'L', 1) }} {{ text.split(', ') }} {{ text.split() }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }}
{{ text.startswith('Hell') }} {{ text.endswith(('x', 'ld')) }} {{ text.find('o') }} {{ text.find('zz') }} {{ text.count('l') }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ '7'.zfill(3) }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '*') }} {{ 'a'.center(4, '-') }}
{{ '  x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ '\n\na\n'.lstrip('\n') }}|{{ 'a\n'.rstrip('\n') }}|{{ 'abc'.removeprefix('ab') }}|{{ 'a\nb\r\nc'.splitlines() }}|{{ '-'.join(['a', 'b']) }}|{{ '{} and {x}'.format(1, x=2) }}
{{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ 'a'.isalpha() }} {{ ' '.isspace() }} {{ 'A'.isupper() }} {{ ''.isdigit() }}
{{ items | tojson }} {{ messages | tojson }} {{ {'a': 'x"\\\n\u2028<é>\x07'} | tojson }} {{ 1e21 | tojson }} {{ [1.5, -2e-7, none, true] | tojson }}
{{ items | tojson(indent=2) }} {{ [] | tojson(indent=4) }} {{ {} | tojson(indent=4) }} {{ items | tojson(sort_keys=true) }} {{ 'é😀' | tojson(ensure_ascii=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }}
{{ messages | map(attribute='role') | join(', ') }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first }} {{ messages | rejectattr('role', 'in', ['user']) | list | length }} {{ [3, 1, 2] | sort }} {{ ['b', 'A'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2, 3] | sum }} {{ [1, 2, 2] | unique | list }} {{ [4, 9] | max }} {{ [4, 9] | min }}
{{ text | length }} {{ items | length }} {{ missing | length }} {{ missing | default('d') }} {{ '' | default('d', true) }} {{ missing }} {{ text | replace('o', '0') }} {{ text | upper }} {{ 'a b' | title }} {{ 'abc' | first }} {{ [1, 2] | last }} {{ 'abc' | reverse }} {{ [1, 2] | reverse | list }}
{{ '3' | int + 1 }} {{ '3.7' | int }} {{ 'x' | int(5) }} {{ '1.5' | float }} {{ 3.7 | int }} {{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ 2.1 | round(0, 'ceil') }} {{ -3 | abs }} {{ 1 | string ~ 'a' }} {{ 'ff' | int(0, 16) }}
{{ 'a\nb' | indent(2) }}|{{ 'a\n\nb' | indent(2, true) }}|{{ 'abc def ghi' | truncate(7, false, '...', 0) }}|{{ '<a&"' | e }}|{{ 'a b/c' | urlencode }}|{{ 'one two' | wordcount }}|{{ '%s is %d' | format('x', 3) }}|{{ '%5.2f|%-4s|%03d' % (1.234, 'a', 7) }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ items | dictsort }} {{ [{'k': 1, 'v': 'a'}, {'k': 1, 'v': 'b'}, {'k': 2, 'v': 'c'}] | groupby('k') | map('first') | list }}
{{ 1 is defined }} {{ missing is defined }} {{ missing is undefined }} {{ none is none }} {{ text is string }} {{ items is mapping }} {{ [1] is sequence }} {{ [1] is iterable }} {{ 5 is iterable }} {{ 1 is number }} {{ true is number }} {{ true is integer }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ 4 is even }} {{ 4 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 'a' is lower }} {{ 1 is eq 1 }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 'a' is in ['a'] }} {{ false is false }} {{ 0 is false }} {{ none is not none }}
{%- macro f(x, y='d', z=none) -%}[{{ x }}{{ y }}{{ z }}]{%- endmacro -%}{{ f(1) }}{{ f(1, 2) }}{{ f(1, z=3) }}{{ f() }}
{% macro wrap(tag) %}<{{ tag }}>{{ caller('in') }}</{{ tag }}>{% endmacro %}{% call(x) wrap('b') %}body {{ x }}{% endcall %}
{% macro v() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ v(1, 2, a=3) }}
{% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n - 1) }}{% endif %}{% endmacro %}{{ rec(3) }}
{% set block %}a {{ nine }} b{% endset %}{{ block | upper }}{% set t | upper %}x{% endset %}{{ t }}{% filter upper %}abc{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}{% set p, q = 1, 2 %}{{ p }}{{ q }}
{% for i in [1, 2, 3] %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(i // 2) }} {% endfor %}
{% for n in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ n.v }}{{ loop.depth }}({{ loop(n.c) }}){% endfor %}
{# comment #}a{#- x -#} b {%- if true %} c {% endif -%} d
{% raw %}{{ x }}{% y %}{% endraw %} {{ '{{' }} {{ "a\tb\x41\u00e9\101" }} {{ 'it''s' }} {{ "q'q" }} {{ ["it's", 'a"b', 'n\n'] }}
{{ range(3) | list }} {{ range(1, 6, 2) | list }} {{ range(3, 0, -1) | list }} {{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2) }}
{{ missing.attribute }}
{{ 'a' + 1 }}
{{ none + 'a' }}
{{ 'a' + none }}
{{ missing + 'a' }}
{{ [1] + 'a' }}
{{ none | length }}
{{ 5 | join }}
{% for x in 5 %}{% endfor %}
{{ 'a' in none }}
{{ 1 in 'abc' }}
{{ 1 < 'a' }}
{{ none() }}
{{ text.nosuch() }}
{{ messages.append(1) }}
{{ [1, 2].pop() }}
{{ 1 / 0 }}
{{ raise_exception('stop') }}
{{ messages | selectattr('role') | length }}
{{ {'a': 1} | tojson(nosuch=1) }}
{{ missing | tojson }}
{{ 'abc'.split('') }}
{{ f(1) }}
{% set ns = 5 %}{% set ns.a = 1 %}
{{ text | nosuch }}
{% if false %}{{ text | nosuch }}{% endif %}ok
{% if x %}
{% endfor %}
{{ 1 +
{{ 'a }}
{% unknown %}
{{ [1, 2 }}
{% set 1 = 2 %}
{% break %}
{{ (messages | map(attribute='role') | list)[0] }}{{ messages | map('length') | list }}{{ ['a', 'b'] | map('upper') | list }}{{ [0, 1, none, 'x'] | select | list }}{{ [1, 2, 3] | reject('even') | list }}
{{ 'x' if messages | selectattr('role', 'equalto', 'nobody') else 'y' }}{{ 'x' if messages | selectattr('role', 'equalto', 'nobody') | list else 'y' }}
{{ items.b }}{{ items.get('a') }}{{ items.get('zz') }}{{ items.get('zz', 3) }}{{ items.keys() | list }}{{ items.values() | list }}{{ items['b'] }}{{ items.zz }}
{{ -nine }} {{ +nine }} {{ - 2 ** 2 }} {{ 2 + 3 * 4 - 1 }} {{ (2 + 3) * 4 }} {{ 10 - 2 - 3 }} {{ 2 ** 3 ** 2 }} {{ not 1 == 2 }} {{ -1 | abs }} {{ 'a' ~ 'b' | upper }}
'''.strip().split("\n")
WHITE_SPACE = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "  {% if true %}\n  b\n  {% endif %}\n  c", "a {%- if true -%}  b  {%- endif -%} c", "x\n  {%+ if true %}\n  y{% endif +%}\nz\n\n",
    "{{ 'a' }}\n{{ 'b' }}\n", "  {# c #}\n  x", "{#- c -#}\n  x", "a\r\nb\r{% if 1 %}\r\nc{% endif %}", "\n\n{{- 'a' -}}\n\n", "{% for i in range(2) %}\n{{ i }}\n{% endfor %}\n", "a{# x\ny #}\nb",
    "  {{ 1 }}  \n  {%- raw %}  {{ }}\n  {% endraw -%}  b", "\t{% set x = 1 %}\t\n{{ x }}", "{% if true %}{% if true %}\n  a\n  {%- endif %}\n{% endif %}\nb",
]


def raise_exception(message):
    raise ValueError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
for template in TEMPLATES + WHITE_SPACE:
    row = {"template": template}
    try:
        row["rendered"] = environment.from_string(template).render(**CONTEXT)
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(row, ensure_ascii=True))
if len(sys.argv) > 1:
    print(json.dumps(CONTEXT), file=open(sys.argv[1], "w"))
