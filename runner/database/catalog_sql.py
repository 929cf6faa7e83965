"""The queries behind the canonical schema: each object as kind, name, definition and grants.

They run with an empty search_path, so that PostgreSQL's deparsers qualify every name.
"""

# What belongs to a user's schema: not the system's, not an extension's, not what is left out.
_PRELUDE = """
with extension_member as materialized (
    select classid, objid from pg_catalog.pg_depend
    where refclassid = 'pg_catalog.pg_extension'::regclass and deptype = 'e'
), space as materialized (
    select oid, nspname, nspowner, nspacl from pg_catalog.pg_namespace
    where nspname !~ '^pg_' and nspname <> 'information_schema'
), rel as materialized (
    select c.*, s.nspname, format('%I.%I', s.nspname, c.relname) as name
    from pg_catalog.pg_class c join space s on s.oid = c.relnamespace
    where not (s.nspname = 'public' and c.relname ~ {ignored})
      and not exists (select from extension_member m
                      where m.classid = 'pg_catalog.pg_class'::regclass and m.objid = c.oid)
), typ as materialized (
    select t.*, format('%I.%I', s.nspname, t.typname) as name
    from pg_catalog.pg_type t join space s on s.oid = t.typnamespace
    where not exists (select from extension_member m
                      where m.classid = 'pg_catalog.pg_type'::regclass and m.objid = t.oid)
), fn as materialized (
    select p.*, format('%I.%I(%s)', s.nspname, p.proname,
                       pg_catalog.pg_get_function_identity_arguments(p.oid)) as name
    from pg_catalog.pg_proc p join space s on s.oid = p.pronamespace
    where not exists (select from extension_member m
                      where m.classid = 'pg_catalog.pg_proc'::regclass and m.objid = p.oid)
)
"""

_KINDS = (
    "case relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'"
    " when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'"
    " when 'c' then 'composite type' end"
)

# Names that PostgreSQL would choose itself: <table>_<columns>_<kind><number>.
# A table's name is data, and no part of a pattern.
_MADE_UP = """~ '_(pkey|key|fkey|check|excl|not_null|idx)[0-9]*$'
    and starts_with({name}, left(r.relname, 20))"""

_PARTS: dict[str, str] = {
    "schemas": """
        select 'schema', quote_ident(nspname), 'owner ' || pg_get_userbyid(nspowner),
               coalesce(nspacl, acldefault('n', nspowner)) from space
    """,
    "relations": f"""
        select {_KINDS}, coalesce((
                   -- the sequence of a column is the column's: its name may be made up
                   select 'of ' || refobjid::regclass || '.' || quote_ident(attname)
                   from pg_depend d join pg_attribute a
                     on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                   where rel.relkind = 'S' and d.classid = 'pg_class'::regclass
                     and d.objid = rel.oid and d.deptype in ('a', 'i')
                     and d.refclassid = 'pg_class'::regclass), name),
               concat_ws(', ', 'owner ' || pg_get_userbyid(relowner),
                   case relpersistence when 'u' then 'unlogged' end,
                   case when relrowsecurity then 'row security' end,
                   case when relforcerowsecurity then 'forced row security' end,
                   case when relreplident <> 'd' and relkind = 'r'
                        then 'replica identity ' || relreplident::text end,
                   array_to_string(reloptions, ' '),
                   case when relkind = 'p' then pg_get_partkeydef(oid) end,
                   case when relispartition then 'partition '
                        || pg_get_expr(relpartbound, oid) || ' of ' || (
                        select inhparent::regclass from pg_inherits where inhrelid = rel.oid) end,
                   case when not relispartition and relkind in ('r', 'f') then (
                        select 'inherits ' || string_agg(inhparent::regclass::text, ' '
                        order by inhseqno) from pg_inherits where inhrelid = rel.oid) end,
                   case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
                   case when relkind = 'm' and not relispopulated then 'not populated' end,
                   case when relkind = 'S' then (
                        select format('%s start %s increment %s min %s max %s cache %s cycle %s',
                               seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax,
                               seqcache, seqcycle)
                        from pg_sequence where seqrelid = rel.oid) end),
               case when relkind <> 'c' then coalesce(relacl, acldefault(
                   case relkind when 'S' then 's' else 'r' end::"char", relowner)) end
        from rel where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
    """,
    "columns": """
        select 'column', r.name || '.' || quote_ident(a.attname),
               concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                   case when a.attcollation not in (0, t.typcollation)
                        then 'collate ' || a.attcollation::regcollation::text end,
                   case when a.attnotnull then 'not null' end,
                   case a.attidentity when 'a' then 'identity always'
                        when 'd' then 'identity by default' end,
                   case when a.attgenerated <> '' then 'generated ' || a.attgenerated::text end,
                   'default ' || pg_get_expr(d.adbin, d.adrelid),
                   case when a.attstorage <> t.typstorage then 'storage ' || a.attstorage::text end,
                   case when a.attstattarget > 0 then 'statistics ' || a.attstattarget end,
                   array_to_string(a.attoptions, ' ')), a.attacl
        from rel r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0
             and not a.attisdropped
        join pg_type t on t.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
        where r.relkind in ('r', 'p', 'f', 'c')
    """,
    "constraints": f"""
        select 'constraint', r.name || ': '
               || case when c.conname {_MADE_UP.format(name="c.conname")} then ''
                  else quote_ident(c.conname) || ' ' end
               || pg_get_constraintdef(c.oid),
               case when c.convalidated then 'valid' else 'not valid' end, null::aclitem[]
        from pg_constraint c join rel r on r.oid = c.conrelid
        where c.contype not in ('n', 't') and c.conparentid = 0
    """,
    "indexes": f"""
        select 'index', case when i.relname {_MADE_UP.format(name="i.relname")}
                    then regexp_replace(pg_get_indexdef(x.indexrelid), 'INDEX \\S+ ON', 'INDEX ON')
                    else i.name end,
               concat_ws(', ', regexp_replace(pg_get_indexdef(x.indexrelid), 'INDEX \\S+ ON',
                    'INDEX ON'), case when not x.indisvalid then 'INVALID' end,
                    case when x.indisclustered then 'clustered' end,
                    case when x.indisreplident then 'replica identity' end), null::aclitem[]
        from pg_index x join rel i on i.oid = x.indexrelid join rel r on r.oid = x.indrelid
        where not exists (select from pg_constraint c where c.conindid = x.indexrelid
                          and c.contype in ('p', 'u', 'x'))
          and not i.relispartition
    """,
    "functions": """
        select case prokind when 'p' then 'procedure' when 'a' then 'aggregate'
               else 'function' end, name,
               concat_ws(', ', 'owner ' || pg_get_userbyid(proowner),
                   case when prokind <> 'a' then pg_get_functiondef(oid) else (
                       select format('state %s %s, final %s', aggtransfn, aggtranstype::regtype,
                                     aggfinalfn) from pg_aggregate where aggfnoid = fn.oid) end),
               coalesce(proacl, acldefault('f', proowner))
        from fn
    """,
    "triggers": """
        select 'trigger', quote_ident(t.tgname) || ' on ' || r.name,
               pg_get_triggerdef(t.oid) || case when t.tgenabled <> 'O'
                   then ' enabled ' || t.tgenabled::text else '' end, null::aclitem[]
        from pg_trigger t join rel r on r.oid = t.tgrelid
        where not t.tgisinternal and t.tgparentid = 0
    """,
    "rules": """
        select 'rule', quote_ident(w.rulename) || ' on ' || r.name, pg_get_ruledef(w.oid),
               null::aclitem[]
        from pg_rewrite w join rel r on r.oid = w.ev_class where w.rulename <> '_RETURN'
    """,
    "policies": """
        select 'policy', quote_ident(p.polname) || ' on ' || r.name,
               concat_ws(' ', p.polcmd::text, case when p.polpermissive then 'permissive' else
                   'restrictive' end, (select string_agg(case when o = 0 then 'public' else
                   pg_get_userbyid(o) end, ', ' order by o) from unnest(p.polroles) o),
                   'using ' || pg_get_expr(p.polqual, p.polrelid),
                   'check ' || pg_get_expr(p.polwithcheck, p.polrelid)), null::aclitem[]
        from pg_policy p join rel r on r.oid = p.polrelid
    """,
    "types": """
        select case typtype when 'e' then 'enum' when 'd' then 'domain' else 'range' end, name,
               concat_ws(', ', 'owner ' || pg_get_userbyid(typowner),
                   case when typtype = 'e' then (
                       select string_agg(quote_literal(enumlabel), ' ' order by enumsortorder)
                       from pg_enum where enumtypid = typ.oid) end,
                   case when typtype = 'd' then concat_ws(' ',
                       format_type(typbasetype, typtypmod),
                       case when typnotnull then 'not null' end,
                       'default ' || typdefault, (
                       select string_agg(conname || ' ' || pg_get_constraintdef(oid), ' '
                       order by conname) from pg_constraint where contypid = typ.oid
                       and contype = 'c')) end,
                   case when typtype = 'r' then (
                       select rngsubtype::regtype::text from pg_range where rngtypid = typ.oid)
                       end), coalesce(typacl, acldefault('T', typowner))
        from typ where typtype in ('e', 'd', 'r')
    """,
    "extensions": """
        select 'extension', quote_ident(extname),
               extversion || ' in ' || extnamespace::regnamespace,
               null::aclitem[] from pg_extension where extname <> 'plpgsql'
    """,
    "publications": """
        select 'publication', quote_ident(pubname), concat_ws(', ',
               'owner ' || pg_get_userbyid(pubowner), case when puballtables then 'all tables' end,
               case when pubinsert then 'insert' end, case when pubupdate then 'update' end,
               case when pubdelete then 'delete' end, case when pubtruncate then 'truncate' end, (
               select string_agg(prrelid::regclass::text, ' ' order by prrelid::regclass::text)
               from pg_publication_rel where prpubid = p.oid)), null::aclitem[]
        from pg_publication p
    """,
    "default privileges": """
        select 'default privileges', concat_ws(' ', pg_get_userbyid(defaclrole),
               defaclobjtype::text, defaclnamespace::regnamespace::text), '', defaclacl
        from pg_default_acl
    """,
    "comments": """
        select 'comment', pg_describe_object(classoid, objoid, objsubid), description,
               null::aclitem[]
        from pg_description d
        where (classoid = 'pg_class'::regclass and objoid in (select oid from rel))
           or (classoid = 'pg_proc'::regclass and objoid in (select oid from fn))
           or (classoid = 'pg_type'::regclass and objoid in (select oid from typ))
           or (classoid = 'pg_namespace'::regclass and objoid in (
               select oid from space where nspname <> 'public'))
           or (classoid = 'pg_constraint'::regclass and objoid in (
               select c.oid from pg_constraint c join rel r on r.oid = c.conrelid))
           or (classoid = 'pg_trigger'::regclass and objoid in (
               select t.oid from pg_trigger t join rel r on r.oid = t.tgrelid))
    """,
}


_CATALOG = f"""{_PRELUDE}
    select kind, name, definition, array(select unnest(acl)::text order by 1)
    from ({" union all ".join(_PARTS.values())}) as object (kind, name, definition, acl)
"""


def catalog(ignored: str) -> str:
    """Return the query; `ignored` is a quoted regular expression for relations to leave out."""
    return _CATALOG.replace("{ignored}", ignored)
