SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j
    FROM "products" AS t0
    WHERE t0."_terms" @@ $2::text::tsquery
    ORDER BY (SELECT coalesce(sum(strpos(t0."_words", ' ' || w)), 0)
      FROM unnest($1::text[]) AS w), t0."id"
    LIMIT $3::bigint) AS page) AS numbered
