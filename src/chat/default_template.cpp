#include "chat/default_template.h"

namespace exo::chat {

const char* default_template_source() {
  return R"jinja({%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = message.content | default([], true) | selectattr('type', 'equalto', 'text') | map(attribute='text') | join %}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ '\n' ~ content ~ '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %})jinja";
}

const char* llama2_template_source() {
  return R"jinja({%- set ns = namespace(system='', turn=0) %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = message.content | default([], true) | selectattr('type', 'equalto', 'text') | map(attribute='text') | join %}
    {%- endif %}
    {%- if message.role == 'system' and ns.turn == 0 %}
        {%- set ns.system = '<<SYS>>\n' ~ content ~ '\n<</SYS>>\n\n' %}
    {%- elif message.role == 'user' and ns.turn % 2 == 0 %}
        {{- bos_token ~ '[INST] ' ~ ns.system ~ content | trim ~ ' [/INST]' }}
        {%- set ns.system = '' %}
        {%- set ns.turn = ns.turn + 1 %}
    {%- elif message.role == 'assistant' and ns.turn % 2 == 1 %}
        {{- ' ' ~ content | trim ~ ' ' ~ eos_token }}
        {%- set ns.turn = ns.turn + 1 %}
    {%- else %}
        {{- raise_exception('Conversation roles must alternate between user and assistant, after one system message') }}
    {%- endif %}
{%- endfor %})jinja";
}

}  // namespace exo::chat
