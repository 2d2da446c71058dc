{#
  Runs at a run's start, for each source of the project's own macro millrace_sources: makes the raw tables, and on
  Snowflake loads what the archive has new. On DuckDB and PostgreSQL `millrace warehouse run` loads before dbt runs.
#}
{% macro load() %}
  {%- if execute and flags.WHICH in ['run', 'build'] -%}
    {%- do adapter.dispatch('make_raw', 'millrace')() -%}
    {%- do adapter.dispatch('load_raw', 'millrace')() -%}
  {%- endif -%}
{% endmacro %}

{% macro raw_schema() %}{{ return(var('millrace_raw_schema', 'millrace_raw')) }}{% endmacro %}

{% macro default__make_raw() %}
  {%- set record = 'json' -%}
  {%- do run_query('create schema if not exists ' ~ millrace.raw_schema()) -%}
  {%- for source in millrace_sources() -%}
    {%- do run_query('create table if not exists ' ~ millrace.raw_schema() ~ '.' ~ source.name ~ ' (record json not null, object varchar, loaded_at timestamp not null)') -%}
  {%- endfor -%}
{% endmacro %}

{# The administrator's SQL has made them: a role that only loads need not create. #}
{% macro snowflake__make_raw() %}{% endmacro %}

{% macro default__load_raw() %}{% endmacro %}

{#
  COPY INTO loads new objects into one VARIANT column, at most 1,000 a statement, which is what FILES takes:
  https://docs.snowflake.com/en/user-guide/data-load-considerations-load (2026-11-27). The table of loaded objects
  remembers what came in, so that a repeated run loads nothing, also when Snowflake's own history of 64 days has ended.
  A run that ends between COPY and that note loads its objects twice, and the models take such records once.
#}
{% macro snowflake__load_raw() %}
  {%- if var('millrace_load', 'copy') != 'copy' -%}{{ return('') }}{%- endif -%}
  {%- for source in millrace_sources() -%}
    {%- set loaded = [] -%}
    {%- set known = {} -%}
    {%- set since = '' if var('millrace_load_from', none) else " and loaded_at >= " ~ dbt.dateadd('day', -(var('millrace_load_days', 3) | int) - 1, millrace.now_utc()) -%}
    {%- set newest = run_query("select object from " ~ millrace.raw_schema() ~ ".loaded_objects where source = '" ~ source.name ~ "'" ~ since) -%}
    {%- for row in newest.rows -%}{%- do known.update({row[0]: true}) -%}{%- endfor -%}
    {%- set fresh = [] -%}
    {%- for prefix in millrace.recent_prefixes(source) -%}
      {%- for object in millrace.objects_in_stage(prefix) if object not in known -%}{%- do fresh.append(object) -%}{%- endfor -%}
    {%- endfor -%}
    {%- for batch in fresh | batch(1000) -%}
      {%- do millrace.copy_objects(source.name, batch) -%}
      {%- do run_query(
        "insert into " ~ millrace.raw_schema() ~ ".loaded_objects (source, object, loaded_at) values "
        ~ "('" ~ source.name ~ "', '" ~ batch | join("', " ~ millrace.now_utc() ~ "), ('" ~ source.name ~ "', '") ~ "', " ~ millrace.now_utc() ~ ")"
      ) -%}
    {%- endfor -%}
    {%- if fresh | length > 0 -%}{{ log('millrace: ' ~ source.name ~ ': ' ~ fresh | length ~ ' new objects loaded', info=true) }}{%- endif -%}
  {%- endfor -%}
{% endmacro %}

{# Where new objects can be. Older days: --vars '{millrace_load_from: "2026-06-01"}', or millrace_load_days. #}
{% macro recent_prefixes(source) %}
  {%- set prefixes = [] -%}
  {%- set today = modules.datetime.datetime.now(modules.pytz.utc).date() -%}
  {%- set from_day = var('millrace_load_from', none) -%}
  {%- set days = (today - modules.datetime.datetime.strptime(from_day, '%Y-%m-%d').date()).days + 1 if from_day else var('millrace_load_days', 3) | int -%}
  {%- for partition in range(source.partitions) -%}
    {%- for ago in range(days - 1, -1, -1) -%}
      {%- do prefixes.append(source.topic ~ '/' ~ source.epoch ~ '/p' ~ partition ~ '/' ~ (today - modules.datetime.timedelta(days=ago)).isoformat() ~ '/') -%}
    {%- endfor -%}
  {%- endfor -%}
  {{ return(prefixes) }}
{% endmacro %}

{# The keys of the stage's objects, from the stage's own location, s3://bucket/topics/, on: so COPY's FILES takes them. #}
{% macro objects_in_stage(prefix) %}{{ return(adapter.dispatch('objects_in_stage', 'millrace')(prefix)) }}{% endmacro %}
{% macro default__objects_in_stage(prefix) %}
  {%- set objects = [] -%}
  {%- for row in run_query('list @' ~ var('millrace_stage', 'millrace_raw.archive') ~ '/' ~ prefix).rows -%}
    {#- LIST gives s3://bucket/… whole: what comes before the prefix is the stage's. -#}
    {%- do objects.append(prefix ~ row[0].split(prefix)[-1]) -%}
  {%- endfor -%}
  {{ return(objects) }}
{% endmacro %}

{# Loads objects of the stage into a raw table. #}
{% macro copy_objects(name, objects) %}{{ return(adapter.dispatch('copy_objects', 'millrace')(name, objects)) }}{% endmacro %}
{% macro default__copy_objects(name, objects) %}
  {%- do run_query(
    "copy into " ~ millrace.raw_schema() ~ "." ~ name ~ " (record) from @" ~ var('millrace_stage', 'millrace_raw.archive')
    ~ " files = ('" ~ objects | join("', '") ~ "') file_format = (type = json, compression = gzip) on_error = abort_statement load_uncertain_files = true"
  ) -%}
{% endmacro %}
