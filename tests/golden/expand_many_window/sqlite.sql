SELECT concat('{"name":', json_quote(t0."name"), ',"reviews":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"text":', json_quote(t1."text"), ',"stars":', t1."stars", '}') AS j
      FROM "reviews" AS t1
      WHERE t1."product_id" = t0."id"
      AND (t1."hidden" <> ?1
        AND t1."stars" >= ?2)
      ORDER BY t1."stars" DESC, t1."text", t1."id"
      LIMIT ?3)), '}'), t0."name", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?4
  AND (t0."released_at" IS NULL
    OR ?5 >= t0."released_at")
  AND t0."origin" = ?6)
ORDER BY t0."name", t0."id"
LIMIT ?7
