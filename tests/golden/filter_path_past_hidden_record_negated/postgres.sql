SELECT string_agg(j, chr(30)) FILTER (WHERE n < $4::bigint), count(*), max(k0) FILTER (WHERE n = $4::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"text":', to_json(t0."text"), ',"author":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name"), '}') END, '}') AS j, (t0."id")::text AS k0
    FROM "reviews" AS t0
    LEFT JOIN "customers" AS t2 ON t2."id" = t0."author_id"
    AND t2."id" = $1::uuid
    WHERE ((t0."hidden" <> $2::boolean
        OR t0."author_id" = $1::uuid)
      AND NOT (t0."author_id" IN (SELECT t1."id"
          FROM "customers" AS t1
          WHERE (t1."id" = $1::uuid
            AND t1."city" = $3::text))))
    ORDER BY t0."id"
    LIMIT $4::bigint) AS page) AS numbered
