SELECT string_agg(j, chr(30)) FILTER (WHERE n < $2::bigint), count(*), max(k0) FILTER (WHERE n = $2::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j, (t0."id")::text AS k0
    FROM "categories" AS t0
    WHERE NOT coalesce(t0."parent_id" IN (SELECT t1."id"
        FROM "categories" AS t1
        WHERE t1."name" = $1::text), FALSE)
    ORDER BY t0."id"
    LIMIT $2::bigint) AS page) AS numbered
