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
    where nspname !~ '^pg_' and nspname <> 'information_schema' and {within}
){member}, rel as materialized (
    select c.*, s.nspname, format('%I.%I', s.nspname, c.relname) as name
    from pg_catalog.pg_class c join space s on s.oid = c.relnamespace
    where {rels} and not (s.nspname = {home} and c.relname ~ {ignored})
      and not exists (select from extension_member m
                      where m.classid = 'pg_catalog.pg_class'::regclass and m.objid = c.oid)
), typ as materialized (
    select t.*, format('%I.%I', s.nspname, t.typname) as name
    from pg_catalog.pg_type t join space s on s.oid = t.typnamespace
    where {typs} and not exists (select from extension_member m
                      where m.classid = 'pg_catalog.pg_type'::regclass and m.objid = t.oid)
), fn as materialized (
    select p.*, format('%I.%I(%s)', s.nspname, p.proname,
                       pg_catalog.pg_get_function_identity_arguments(p.oid)) as name
    from pg_catalog.pg_proc p join space s on s.oid = p.pronamespace
    where {fns} and not exists (select from extension_member m
                      where m.classid = 'pg_catalog.pg_proc'::regclass and m.objid = p.oid)
)
"""

# What is in one schema is found by what depends on it, through an index: catalogs have none by
# schema, and to read them whole is what a thousand tenants would have to do for each of them.
_WITHIN = """
, member as materialized (
    select classid, objid from pg_catalog.pg_depend
    where refclassid = 'pg_catalog.pg_namespace'::regclass and refobjid = (select oid from space)
), own as materialized (
    select objid as oid from member where classid = 'pg_catalog.pg_class'::regclass
    union all
    -- a composite type depends on the schema as a type
    select typrelid from pg_catalog.pg_type where typrelid <> 0 and oid in (
        select objid from member where classid = 'pg_catalog.pg_type'::regclass)
), listed as materialized (
    select oid from own
    union all
    select indexrelid from pg_catalog.pg_index where indrelid in (select oid from own)
)"""
_MEMBERS = "{oid} in (select objid from member where classid = 'pg_catalog.{catalog}'::regclass)"

_KINDS = (
    "case relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'"
    " when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'"
    " when 'c' then 'composite type' end"
)

# Names that PostgreSQL would choose itself: <table>_<columns>_<kind><number>.
# A table's name is data, and no part of a pattern.
_MADE_UP = """~ '_(pkey|key|fkey|check|excl|not_null|idx)[0-9]*$'
    and starts_with({name}, left(r.relname, 20))"""

# Made after initdb, and no part of an extension.
_OURS = """{oid} >= 16384 and not exists (select from extension_member m
    where m.classid = 'pg_catalog.{catalog}'::regclass and m.objid = {oid})"""

# What is said of an object that is not left out: of the database, or of one schema.
_SAID = """objoid >= 16384
    and (classoid <> 'pg_class'::regclass or objoid in (select oid from rel)
         or objoid in (select indexrelid from pg_index x join rel r on r.oid = x.indrelid))
    and not exists (
        select from extension_member m where m.classid = classoid and m.objid = objoid)"""
_SAID_WITHIN = " or ".join(
    f"classoid = '{catalog}'::regclass and objoid in ({those})"
    for catalog, those in {
        "pg_namespace": "select oid from space",
        "pg_class": "select oid from rel"
        " union all select indexrelid from pg_index x join rel r on r.oid = x.indrelid",
        "pg_type": "select oid from typ",
        "pg_proc": "select oid from fn",
        "pg_constraint": "select c.oid from pg_constraint c join rel r on r.oid = c.conrelid",
        "pg_trigger": "select t.oid from pg_trigger t join rel r on r.oid = t.tgrelid",
        "pg_policy": "select p.oid from pg_policy p join rel r on r.oid = p.polrelid",
    }.items()
)

# What is in no schema.
_OF_THE_DATABASE = {
    "extensions", "publications", "languages", "database", "subscriptions", "casts", "foreign",
    "event triggers",
}  # fmt: skip

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
                   (select 'toast ' || array_to_string(o.reloptions, ' ') from pg_class o
                    where o.oid = rel.reltoastrelid),
                   (select format('server %I %s', s.srvname, f.ftoptions)
                    from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver
                    where f.ftrelid = rel.oid),
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
                   -- from 18 on, where it may not be valid yet
                   (select 'not valid' from pg_constraint n where n.conrelid = r.oid
                    and n.contype = 'n' and n.conkey[1] = a.attnum and not n.convalidated),
                   'compression ' || nullif(to_jsonb(a) ->> 'attcompression', ''),
                   case a.attidentity when 'a' then 'identity always'
                        when 'd' then 'identity by default' end,
                   case when a.attgenerated <> '' then 'generated ' || a.attgenerated::text end,
                   'default ' || pg_get_expr(d.adbin, d.adrelid),
                   case when a.attstorage <> t.typstorage then 'storage ' || a.attstorage::text end,
                   case when a.attstattarget > 0 then 'statistics ' || a.attstattarget end,
                   array_to_string(a.attoptions, ' '), array_to_string(a.attfdwoptions, ' ')),
               a.attacl
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
        select 'rule', quote_ident(w.rulename) || ' on ' || r.name, pg_get_ruledef(w.oid)
               || case when w.ev_enabled <> 'O' then ' enabled ' || w.ev_enabled::text else '' end,
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
                       select string_agg(concat_ws(' ', conname, pg_get_constraintdef(oid),
                       case when not convalidated then 'not valid' end), ' '
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
               'owner ' || pg_get_userbyid(pubowner),
               (to_jsonb(p) - '{oid,pubname,pubowner}'::text[])::text, (
               select string_agg(prrelid::regclass::text, ' ' order by prrelid::regclass::text)
               from pg_publication_rel where prpubid = p.oid)), null::aclitem[]
        from pg_publication p
    """,
    "default privileges": """
        select 'default privileges', concat_ws(' ', pg_get_userbyid(defaclrole),
               defaclobjtype::text, defaclnamespace::regnamespace::text), '', defaclacl
        from pg_default_acl where {default_in}
    """,
    "languages": """
        select 'language', quote_ident(lanname), concat_ws(', ', 'owner '
               || pg_get_userbyid(lanowner), case when lanpltrusted then 'trusted' end),
               coalesce(lanacl, acldefault('l', lanowner))
        from pg_language l where lanispl
    """,
    "database": """
        select 'database', '', concat_ws(', ', 'owner ' || pg_get_userbyid(datdba),
               'connections ' || nullif(datconnlimit, -1), (
               select string_agg(concat_ws(' ', case when setrole <> 0 then
                   pg_get_userbyid(setrole) end, array_to_string(setconfig, ' ')), ', '
                   order by setrole) from pg_db_role_setting where setdatabase = d.oid), (
               select 'comment ' || description from pg_shdescription
               where objoid = d.oid and classoid = 'pg_database'::regclass)),
               coalesce(datacl, acldefault('d', datdba))
        from pg_database d where datname = current_database()
    """,
    "comments": """
        select 'comment', pg_describe_object(classoid, objoid, objsubid), description,
               null::aclitem[]
        from pg_description d where {said}
        union all
        select 'security label', provider || ' ' || pg_describe_object(classoid, objoid, objsubid),
               label, null::aclitem[]
        from pg_seclabel d where {said}
    """,
}

# What few databases have. Their queries would take as long to plan as all the others, so it is
# asked first whether there is anything.
_RARE: dict[str, str] = {
    "subscriptions": """
        select 'subscription', quote_ident(subname), format('owner %s, slot %s, %s, of %s',
               pg_get_userbyid(subowner), subslotname, subenabled, subpublications),
               null::aclitem[]
        from pg_subscription
        where subdbid = (select oid from pg_database where datname = current_database())
    """,
    "statistics": """
        select 'statistics', format('%I.%I', s.nspname, x.stxname), concat_ws(', ',
               'owner ' || pg_get_userbyid(stxowner), pg_get_statisticsobjdef(x.oid),
               'target ' || nullif(stxstattarget, -1)), null::aclitem[]
        from pg_statistic_ext x join space s on s.oid = x.stxnamespace
    """,
    "collations": """
        select 'collation', format('%I.%I', s.nspname, collname), concat_ws(', ',
               'owner ' || pg_get_userbyid(collowner),
               to_jsonb(c) - '{oid,collname,collnamespace,collowner,collversion}'::text[]),
               null::aclitem[]
        from pg_collation c join space s on s.oid = c.collnamespace
    """,
    "conversions": """
        select 'conversion', format('%I.%I', s.nspname, conname), format('owner %s, %s to %s by %s',
               pg_get_userbyid(conowner), conforencoding, contoencoding, conproc), null::aclitem[]
        from pg_conversion c join space s on s.oid = c.connamespace
    """,
    "text search": """
        select 'text search configuration', format('%I.%I', s.nspname, cfgname), concat_ws(', ',
               'owner ' || pg_get_userbyid(cfgowner), (select prsname from pg_ts_parser p
                   where p.oid = cfgparser), (
               select string_agg(maptokentype || ' ' || mapdict::regdictionary, ' '
                                 order by maptokentype, mapseqno)
               from pg_ts_config_map m where m.mapcfg = c.oid)), null::aclitem[]
        from pg_ts_config c join space s on s.oid = c.cfgnamespace
        union all
        select 'text search dictionary', format('%I.%I', s.nspname, dictname), concat_ws(', ',
               'owner ' || pg_get_userbyid(dictowner), (select tmplname from pg_ts_template p
                   where p.oid = dicttemplate), dictinitoption), null::aclitem[]
        from pg_ts_dict d join space s on s.oid = d.dictnamespace
        union all
        select 'text search parser', format('%I.%I', s.nspname, prsname),
               concat_ws(' ', prsstart, prstoken, prsend, prsheadline, prslextype), null::aclitem[]
        from pg_ts_parser p join space s on s.oid = p.prsnamespace
        union all
        select 'text search template', format('%I.%I', s.nspname, tmplname),
               concat_ws(' ', tmplinit, tmpllexize), null::aclitem[]
        from pg_ts_template p join space s on s.oid = p.tmplnamespace
    """,
    "operators": """
        select 'operator', o.oid::regoperator::text, concat_ws(', ',
               'owner ' || pg_get_userbyid(oprowner), oprcode, oprresult::regtype,
               'commutator ' || nullif(oprcom, 0)::regoperator,
               'negator ' || nullif(oprnegate, 0)::regoperator, oprrest, oprjoin,
               case when oprcanhash then 'hashes' end, case when oprcanmerge then 'merges' end),
               null::aclitem[]
        from pg_operator o join space s on s.oid = o.oprnamespace
    """,
    "operator classes": """
        select 'operator class', format('%I.%I %s', s.nspname, opcname, amname), concat_ws(', ',
               'owner ' || pg_get_userbyid(opcowner), opcintype::regtype,
               'stores ' || nullif(opckeytype, 0)::regtype, case when opcdefault then 'default' end,
               (select opfname from pg_opfamily f where f.oid = opcfamily)), null::aclitem[]
        from pg_opclass c join space s on s.oid = c.opcnamespace join pg_am a on a.oid = opcmethod
        union all
        select 'operator family', format('%I.%I %s', s.nspname, opfname, amname), concat_ws(', ',
               'owner ' || pg_get_userbyid(opfowner), (
               select string_agg(concat_ws(' ', amopstrategy, amopopr::regoperator), ', '
                   order by amopstrategy, amopopr::regoperator::text)
               from pg_amop where amopfamily = f.oid), (
               select string_agg(concat_ws(' ', amprocnum, amproc::regprocedure), ', '
                   order by amprocnum, amproc::regprocedure::text)
               from pg_amproc where amprocfamily = f.oid)), null::aclitem[]
        from pg_opfamily f join space s on s.oid = f.opfnamespace join pg_am a on a.oid = opfmethod
    """,
    "casts": f"""
        select 'cast', castsource::regtype || ' as ' || casttarget::regtype, concat_ws(' ',
               nullif(castfunc, 0)::regprocedure, castcontext, castmethod), null::aclitem[]
        from pg_cast c where {_OURS.format(catalog="pg_cast", oid="c.oid")}
        union all
        select 'transform', trftype::regtype || ' for ' || lanname, concat_ws(' ',
               nullif(trffromsql::oid, 0)::regprocedure, nullif(trftosql::oid, 0)::regprocedure),
               null::aclitem[]
        from pg_transform t join pg_language l on l.oid = trflang
        where {_OURS.format(catalog="pg_transform", oid="t.oid")}
        union all
        select 'access method', quote_ident(amname), concat_ws(' ', amtype, amhandler),
               null::aclitem[]
        from pg_am a where {_OURS.format(catalog="pg_am", oid="a.oid")}
    """,
    "foreign": f"""
        select 'foreign data wrapper', quote_ident(fdwname), concat_ws(', ',
               'owner ' || pg_get_userbyid(fdwowner), nullif(fdwhandler, 0)::regproc,
               nullif(fdwvalidator, 0)::regproc, array_to_string(fdwoptions, ' ')),
               coalesce(fdwacl, acldefault('F', fdwowner))
        from pg_foreign_data_wrapper w
        where {_OURS.format(catalog="pg_foreign_data_wrapper", oid="w.oid")}
        union all
        select 'server', quote_ident(srvname), concat_ws(', ', 'owner '
               || pg_get_userbyid(srvowner), (select fdwname from pg_foreign_data_wrapper w
                   where w.oid = srvfdw), srvtype, srvversion, array_to_string(srvoptions, ' ')),
               coalesce(srvacl, acldefault('S', srvowner))
        from pg_foreign_server
        union all
        select 'user mapping', usename || ' on ' || quote_ident(srvname),
               -- what the history keeps is no place for a password
               (select string_agg(regexp_replace(o, '^(.*pass.*)=.*', '\\1', 'i'), ' ' order by o)
                from unnest(umoptions) o), null::aclitem[]
        from pg_user_mappings
    """,
    "event triggers": f"""
        select 'event trigger', quote_ident(evtname), concat_ws(', ',
               'owner ' || pg_get_userbyid(evtowner), evtevent, evtfoid::regprocedure,
               'enabled ' || evtenabled::text, array_to_string(evttags, ' ')), null::aclitem[]
        from pg_event_trigger e where {_OURS.format(catalog="pg_event_trigger", oid="e.oid")}
    """,
}
_MADE = (
    "pg_statistic_ext", "pg_collation", "pg_conversion", "pg_ts_config",
    "pg_ts_dict", "pg_ts_parser", "pg_ts_template", "pg_operator", "pg_opclass", "pg_opfamily",
    "pg_cast", "pg_transform", "pg_am", "pg_foreign_data_wrapper", "pg_foreign_server",
    "pg_event_trigger",
)  # fmt: skip
RARE = "select " + " or ".join(
    (
        # Of its columns 13 lets others than superusers read a few.
        "exists (select from pg_catalog.pg_subscription where subdbid <> 0)",
        *(f"exists (select from pg_catalog.{name} where oid >= 16384)" for name in _MADE),
    )
)

# What only later versions have a catalog for.
_SINCE: tuple[tuple[int, str], ...] = (
    (
        150000,
        """
        select 'publication', quote_ident(pubname) || ' of schema ' || pnnspid::regnamespace, '',
               null::aclitem[]
        from pg_publication_namespace join pg_publication p on p.oid = pnpubid
        union all
        select 'publication', quote_ident(pubname) || ' of ' || prrelid::regclass, concat_ws(' ',
               'columns ' || (select string_agg(quote_ident(attname), ' ' order by attnum)
                              from pg_attribute where attrelid = prrelid and attnum = any(prattrs)),
               'where ' || pg_get_expr(prqual, prrelid)), null::aclitem[]
        from pg_publication_rel join pg_publication p on p.oid = prpubid
        """,
    ),
)


def catalog(
    ignored: str, version: int, *, rare: bool, home: str = "'public'", only: bool = False
) -> str:
    """Return the query.

    Parameters:
        ignored: a quoted regular expression for relations of a schema to leave out.
        version: the server's, as server_version_num has it.
        rare: also look for what few databases have, as RARE tells.
        home: that schema's name, quoted as a value.
        only: leave out everything that is not in it.
    """
    found = _PARTS | (_RARE if rare else {})
    parts = [part for name, part in found.items() if not only or name not in _OF_THE_DATABASE]
    parts += [part for since, part in _SINCE if version >= since and not only]
    query = f"""{_PRELUDE}
        select kind, name, definition, array(select unnest(acl)::text order by 1)
        from ({" union all ".join(parts)}) as object (kind, name, definition, acl)
    """
    # Last, for a name may hold anything.
    return (
        query.replace("{member}", _WITHIN if only else "")
        .replace("{rels}", "c.oid in (select oid from listed)" if only else "true")
        .replace("{typs}", _MEMBERS.format(oid="t.oid", catalog="pg_type") if only else "true")
        .replace("{fns}", _MEMBERS.format(oid="p.oid", catalog="pg_proc") if only else "true")
        .replace("{said}", _SAID_WITHIN if only else _SAID)
        .replace("{default_in}", "defaclnamespace in (select oid from space)" if only else "true")
        .replace("{within}", "nspname = {home}" if only else "true")
        .replace("{ignored}", ignored)
        .replace("{home}", home)
    )
