SELECT string_agg(j, chr(30)) FILTER (WHERE n < $1::bigint), count(*), max(k0) FILTER (WHERE n = $1::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j, (t0."id")::text AS k0
    FROM "categories" AS t0
    WHERE t0."parent_id" IS NULL
    ORDER BY t0."id"
    LIMIT $1::bigint) AS page) AS numbered
