SELECT string_agg(j, chr(30)) FILTER (WHERE n < $5::bigint), count(*)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"subtitle":', coalesce((to_json(t0."subtitle"))::text, 'null'), '}') AS j
    FROM "products" AS t0
    WHERE (t0."state" = $2::text
      AND (t0."released_at" IS NULL
        OR $3::timestamptz >= t0."released_at")
      AND t0."_terms" @@ $4::text::tsquery)
    ORDER BY (SELECT coalesce(sum(strpos(t0."_words", ' ' || w)), 0)
      FROM unnest($1::text[]) AS w), t0."id"
    LIMIT $5::bigint) AS page) AS numbered
