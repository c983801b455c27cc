SELECT string_agg(j, chr(30)) FILTER (WHERE n < $2::bigint), count(*), max(k0) FILTER (WHERE n = $2::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE EXISTS (SELECT 1
      FROM "product_labels" AS t1
      JOIN "labels" AS t2 ON t2."id" = t1."label_id"
      WHERE t1."product_id" = t0."id"
      AND t2."name" = ANY($1::text[]))
    ORDER BY t0."id"
    LIMIT $2::bigint) AS page) AS numbered
